"""Where vectors live and are scored."""
