"""The validator: whether each claim stands in the passage that it cites."""
