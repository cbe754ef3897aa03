"""Run folders: rows that survive a kill."""
