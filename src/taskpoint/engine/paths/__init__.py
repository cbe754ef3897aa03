"""The two ways to hide tokens, masks and removal; every cut at once; contexts that are read once."""
