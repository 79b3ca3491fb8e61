"""The notifier: who asked is told by mail how it ended."""
