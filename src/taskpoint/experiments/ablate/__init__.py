"""Which single layers are critical? (paper A, experiment 2)."""
