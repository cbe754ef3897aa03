"""What the self-check is made of: cutting beside masking, on this model."""
