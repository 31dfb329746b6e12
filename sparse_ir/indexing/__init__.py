"""From a corpus or vector shards into an engine."""
