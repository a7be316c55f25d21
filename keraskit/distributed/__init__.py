"""Train one model on several devices or machines."""
