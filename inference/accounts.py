"""A request's account at the scheduler: opened when it is admitted, closed when it has ended, watched meanwhile."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import quote

from inference.transport import Transport

LIMIT_S = 5.0
SEEN = r"(\d{1,9})(?:r(\d{1,6}))?(d)?"  # how much of one call was seen: characters, restarts, its end
_CURSOR = re.compile(rf"(?:{SEEN}(?:\.{SEEN})*)?")


def is_cursor(text: str) -> bool:
    """Whether a text can be a cursor of `said`."""
    return _CURSOR.fullmatch(text) is not None


class Accounts:
    """The scheduler's accounts, by request id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def open(self, request: str, budget_tokens: int, deadline: datetime) -> None:
        """Open the account of a request that is admitted; one that is open stays as it is.

        Raises:
            BacklogError: the scheduler has as many open requests as it takes; `after` says when to ask again.
            ModelUnavailableError: the scheduler does not answer. The request's first call opens the account then.
        """
        terms = {"budget_tokens": budget_tokens, "deadline": deadline.isoformat()}
        await self._transport.send("PUT", _path(request), terms, {}, LIMIT_S)

    async def close(self, request: str) -> None:
        """Close the account of a request that has ended.

        Raises:
            ModelUnavailableError: the scheduler does not answer. It closes the account itself some time after the deadline.
        """
        await self._transport.send("DELETE", _path(request), {}, {}, LIMIT_S)

    async def said(self, request: str, after: str = "", wait_s: float = 0.0) -> dict[str, Any]:
        """What the request's model calls said since the cursor `after`, waited for where there is nothing yet.

        Returns:
            `cursor` for the next time, `open` while more can come, and `calls`, each with `call`, `at`, `text`, `done` and
            the `cursor` of whoever stops after it. A call's text goes on `at` so many characters, and what was beyond is
            void: 0 for one that was seen already says that it was begun anew.
        """
        return await self._transport.get(f"{_path(request)}/tokens?after={quote(after)}&wait={wait_s:g}", LIMIT_S + wait_s)


def _path(request: str) -> str:
    return f"/requests/{quote(request, safe='')}"
