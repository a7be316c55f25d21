"""Export a finished model to other formats."""
