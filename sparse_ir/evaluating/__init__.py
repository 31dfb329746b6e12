"""From runs and judgements to numbers."""
