"""From text to token ids, with the segment of every token."""
