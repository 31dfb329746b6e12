"""Indexes answered over HTTP: one process, concurrent queries weighed together."""
