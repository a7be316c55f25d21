"""Image files: find, decode and check them, and sort them into classes and splits."""
