"""The search page: static files that work on the HTTP API alone."""
