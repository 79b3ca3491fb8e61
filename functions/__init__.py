"""One folder per agent; an agent decides, it never connects.

Forbidden here: importing another agent; reading the environment and opening connections, which functions/main.py does once.
"""
