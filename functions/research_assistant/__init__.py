"""The research assistant: from a sub-question to claims, each with the passage that it rests on."""
