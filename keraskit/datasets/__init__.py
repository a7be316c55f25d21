"""Data sets. Each module has loaders, whose arguments become flags; they return Splits."""
