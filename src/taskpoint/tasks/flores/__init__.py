"""Translation of the FLORES sentences, from a folder or from the hub."""
