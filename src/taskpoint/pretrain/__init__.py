"""Small transformers trained on in-context tasks."""
