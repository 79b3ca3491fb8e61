"""`python -m inference.testing --port 8090`: the fake server as a process of its own."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from inference.testing.server import FakeServer


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m inference.testing", description="A model server that only pretends.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--tokens-per-second", type=float, default=0.0, help="of one call; 0 answers at once")
    parser.add_argument("--slots", type=int, default=0, help="calls at once, the others wait; 0 is no limit")
    parser.add_argument("--record", type=Path, help="append each call to this file, as JSON lines")
    given = parser.parse_args(arguments)
    try:
        made = FakeServer(host=given.host, port=given.port, tokens_per_second=given.tokens_per_second, slots=given.slots)
    except OSError as error:
        print(f"cannot listen on {given.host}:{given.port}: {error.strerror}; name a free port by --port", file=sys.stderr)
        return 2
    with made as server:
        server.record = given.record
        print(f"fake model server: {server.url}", file=sys.stderr, flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main())
