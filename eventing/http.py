"""What every HTTP server here has in common: a body that is read up to a limit, and an answer that says what was wrong."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from eventing.errors import PayloadTooLargeError

LIMIT_BYTES = 1024 * 1024  # Eventing's producer takes no more, so nothing larger can come from a topic


async def body_of(request: Request, limit: int = LIMIT_BYTES) -> bytes:
    """The request's body.

    Raises:
        ClientDisconnect: when it does not come to its end.
        PayloadTooLargeError: as soon as more than `limit` bytes have come, or are announced.
    """
    announced = request.headers.get("content-length", "")
    if not (announced.isdigit() and int(announced) > limit):
        body, more = bytearray(), True
        while more and len(body) <= limit:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if len(body) <= limit:
            return bytes(body)
    raise PayloadTooLargeError(
        f"the body is larger than {limit} bytes; send large data to the bucket and its key as `dataref`"
    )


def problem(content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """A problem+json answer (RFC 9457)."""
    body = json.dumps({"type": "about:blank", **content}).encode()
    return Response(body, content["status"], headers, media_type="application/problem+json")
