"""`python -m eventing.testing --port 9000 --folder F`: the S3 server that pretends, as a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from aiohttp import web

from eventing.testing.bucket import PretendedBucket


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m eventing.testing", description="An S3 server that only pretends.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--folder", type=Path, required=True, help="where its buckets lie")
    given = parser.parse_args()
    try:
        web.run_app(
            PretendedBucket(given.folder).application(), host="127.0.0.1", port=given.port, access_log=None, print=None
        )
    except OSError as error:
        print(f"cannot listen on 127.0.0.1:{given.port}: {error.strerror}; name a free port by --port", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
