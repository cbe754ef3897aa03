"""What runs in the contained processes, by itself: no file here imports anything else of the project."""
