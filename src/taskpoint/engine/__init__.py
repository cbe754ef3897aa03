"""The cut itself: which tokens are present in which layer."""
