"""At which cut is the task recognised? (paper A, experiments 1 and 3)."""
