"""Scores of many answers at once, such as BLEU, from the counts of single answers."""
