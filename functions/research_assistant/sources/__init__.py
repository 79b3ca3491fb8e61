"""Where documents on a question are looked for beyond a collection: each source a module, switched on by a setting.

A source is an async function from `Asked` to pages; it decodes what is answered and never connects itself.
"""

from functions.research_assistant.sources.looking import SOURCES, Finds, looked
from functions.research_assistant.sources.page import Asked, Page, SourceError

__all__ = ["SOURCES", "Asked", "Finds", "Page", "SourceError", "looked"]
