"""One folder per agent; an agent decides, it never connects.

Forbidden here: importing another agent, reading the environment, opening a connection (functions/main.py does both, once)."""
