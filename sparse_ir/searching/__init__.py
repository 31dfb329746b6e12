"""From a question to hits, and why they are hits."""
