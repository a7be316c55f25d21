"""What in a picture decides a model's answer."""
