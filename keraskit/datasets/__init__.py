"""Where examples come from. Each module here has loaders, whose arguments are flags; they return Splits."""
