"""Programs as answers: problems, how they are asked, and how a program is run against its tests."""
