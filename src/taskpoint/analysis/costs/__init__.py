"""What a model costs, from its sizes: work, memory, and what a cut saves of them."""
