"""The page of a `locate` run, with a slider over its cuts."""
