"""Everything that is a file: corpora, queries, qrels, runs, vector shards, ledgers."""
