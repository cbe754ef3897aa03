"""Figures and tables of papers as files: what to run, and the published numbers to hold beside what is measured."""
