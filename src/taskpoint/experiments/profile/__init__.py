"""Everything that is known of a model's layers, on one axis: do the experiments point at the same layer?"""
