"""Run folders: what every run writes, and how to open them."""
