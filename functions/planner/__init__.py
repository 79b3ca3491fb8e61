"""The planner: from a topic to its sub-questions."""
