"""How a call of a model and of its layers is read, and how a model is left as it was found."""
