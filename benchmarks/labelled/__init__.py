"""A labelled set of claims: documents, claims written by hand, and what becomes false of true ones by one change."""
