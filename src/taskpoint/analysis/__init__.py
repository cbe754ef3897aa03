"""Statistics and accounting in plain NumPy."""
