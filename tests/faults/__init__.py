"""What goes wrong with servers and networks, done to real ones."""
