"""A package, so that test_lexicon.py here and in tests/pretrain do not share a module name."""
