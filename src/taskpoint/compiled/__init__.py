"""Compiled prompts: a context that is read once and kept in a file."""
