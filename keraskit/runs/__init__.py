"""A run folder, what every run writes into it, and how it is opened."""
