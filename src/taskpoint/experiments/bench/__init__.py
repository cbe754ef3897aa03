"""How much of what a cut should save is saved on this machine?"""
