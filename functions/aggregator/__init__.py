"""The aggregator: the parts of a request become one result."""
