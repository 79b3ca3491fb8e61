"""A labelled set of claims: documents, true paraphrases written by hand, and what becomes false of them by one change."""
