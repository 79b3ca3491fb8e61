"""One question to a server on this machine, or one's own, over a connection of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import urllib3

UnansweredError = urllib3.exceptions.HTTPError


def ask(
    url: str, limit_s: float = 2.0, method: str = "GET", headers: Mapping[str, str] | None = None, json: Any = None
) -> urllib3.BaseHTTPResponse:
    """The answer, with its whole body, from whoever is at that address now; `limit_s` is for connecting and for each read.

    No connection is kept, which the server may be about to close: `Connection: close` alone does not see to that, since
    the client goes by what the answer says of it.

    Raises:
        UnansweredError: nobody is there, or it gives no answer.
    """
    with urllib3.PoolManager(retries=False, timeout=limit_s) as http:
        return http.request(method, url, headers={"Connection": "close", **(headers or {})}, json=json)


def healthy(port: int, limit_s: float = 2.0) -> bool:
    """Whether a server on this machine answers `GET /health` with 200."""
    try:
        return ask(f"http://127.0.0.1:{port}/health", limit_s).status == 200
    except UnansweredError:
        return False
