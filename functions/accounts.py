"""A request's account at the scheduler, where there is one: nobody waits long for it, nothing fails because it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar

from inference.accounts import Accounts
from inference.client import from_environment
from inference.errors import BacklogError, InferenceError

T = TypeVar("T")
PATIENCE_S = 1.0
_log = logging.getLogger("torpor")


class Desk:
    """The scheduler's accounts as gateway and tracker use them; without a scheduler nothing is asked."""

    def __init__(self, accounts: Accounts | None) -> None:
        self._accounts = accounts

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Desk:
        """The desk of the scheduler that TORPOR_MODEL_URL names."""
        client = from_environment(environ)
        return cls(client.accounts if client.url else None)

    @property
    def there(self) -> bool:
        return self._accounts is not None

    async def open(self, request: str, budget_tokens: int, deadline: datetime) -> None:
        """Open a request's account; where the scheduler does not answer, the request's first model call opens it.

        Raises:
            BacklogError: the scheduler has as many open requests as it takes.
        """
        if self._accounts:
            await _patiently(self._accounts.open(request, budget_tokens, deadline))

    async def close(self, request: str) -> bool:
        """Close the account of a request that has ended; False where the scheduler does not answer."""
        return self._accounts is None or await _patiently(_closed(self._accounts, request)) is not None

    async def said(self, request: str, after: str) -> dict[str, Any] | None:
        """What the request's model calls said since a cursor; None where the scheduler does not answer."""
        return await _patiently(self._accounts.said(request, after)) if self._accounts else None


async def _closed(accounts: Accounts, request: str) -> bool:
    await accounts.close(request)
    return True


async def _patiently(asked: Coroutine[Any, Any, T]) -> T | None:
    try:
        return await asyncio.wait_for(asked, PATIENCE_S)
    except BacklogError:
        raise
    except (InferenceError, TimeoutError) as error:
        _log.info("the scheduler does not answer: %s", error or type(error).__name__)
        return None
