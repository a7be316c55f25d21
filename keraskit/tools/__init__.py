"""What is done with finished runs, each in a file or a folder of its own."""
