"""The two ways to hide tokens, present rows only and masks; every cut at once; contexts that are read once."""
