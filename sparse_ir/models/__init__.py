"""Text to weighted terms."""
