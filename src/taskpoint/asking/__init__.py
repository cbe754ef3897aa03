"""A task's items asked of a model under cuts: prompts in, texts and log-probabilities out."""
