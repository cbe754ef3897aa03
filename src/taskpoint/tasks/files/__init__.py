"""Files of tasks, the user's and the bundled ones, and what they hold."""
