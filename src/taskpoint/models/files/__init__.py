"""What a model's folder or hub page holds."""
