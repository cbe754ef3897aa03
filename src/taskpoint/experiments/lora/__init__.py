"""Which layer is worth adapting? (paper A, experiment 4)."""
