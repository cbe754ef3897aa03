"""Training of small transformers: the loop, its checkpoints, and what a recipe says."""
