"""What is asked, with worked examples, and how an answer is scored."""
