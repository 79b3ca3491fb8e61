"""Everything that talks to a language model: the client behind `ctx.llm`, and the servers beside it.

Forbidden here: agents, events and topics (`eventing`, `functions`); a vendor's SDK; any other HTTP client than the one in
`inference.client`. Importing the room loads no HTTP client and no model.
"""
