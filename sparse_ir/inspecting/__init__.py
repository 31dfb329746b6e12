"""Looks at models, indexes and files, and changes nothing."""
