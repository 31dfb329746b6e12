"""Coverage-guided fuzzing (atheris) of all that reads what strangers write."""
