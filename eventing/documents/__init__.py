"""Reading documents: Markdown, text, HTML and PDF become text, with its pages, or the reason why they cannot.

Shared by `torpor ask`, which says at once what cannot be read, and by the agent that reads a collection.
Forbidden here: parsing HTML or PDF in this process. `parsing` does it in a process of its own for each document, within
limits of time, memory and size, and without the environment.
"""

from eventing.documents.reading import ENDINGS, TEXT, Parsers, Reading, UnreadableError, kept_as, largest, read, usable

__all__ = ["ENDINGS", "TEXT", "Parsers", "Reading", "UnreadableError", "kept_as", "largest", "read", "usable"]
