"""Everything between agents: envelope, step protocol, publishing, the HTTP adapter, the workflow file and what follows from it.

Forbidden here: deciding anything an agent decides, and talking to a model.
"""
