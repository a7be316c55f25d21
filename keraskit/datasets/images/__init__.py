"""Pictures in files: found, decoded, verified, sorted into classes and splits."""
