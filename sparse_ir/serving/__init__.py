"""The HTTP server: search, encode and explain over an open index, and a page to look at."""
