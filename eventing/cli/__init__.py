"""The command `torpor`. Exit codes: 0 done, 1 it failed and the reason was told, 2 wrong usage, 3 the platform is not there.

Forbidden here: tracebacks, and deciding anything that an agent or the platform decides.
"""

from eventing.cli.commands import main

__all__ = ["main"]
