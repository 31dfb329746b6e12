"""From a corpus to finished batches of vectors."""
