"""Which attention heads can go? Gates on all heads, trained with the model frozen (paper A, version 1, section 6)."""
