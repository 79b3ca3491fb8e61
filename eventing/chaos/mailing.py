"""Why a request got a second mail: whether the records prove one of the windows that `eventing.mail` names, or a defect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from eventing.errors import EventingError
from eventing.mail import LEASE
from eventing.store import Store


@dataclass(frozen=True)
class Claim:
    """One sender's claim: `returned` and whether the mail server's answer was missing then, or `marked` as sent."""

    at: float  # seconds since the epoch
    returned: bool = False
    unanswered: bool = False
    marked: bool = False

    @property
    def may_have_sent(self) -> bool:
        """Whether a mail can have gone out under it; a server that answers that it takes nothing has taken nothing."""
        return self.unanswered or not self.returned


@dataclass(frozen=True)
class Mailing:
    """The mails that one request got, by their Message-IDs, and all claims, oldest first."""

    message_ids: Sequence[str]
    claims: Sequence[Claim]

    @property
    def in_window(self) -> bool:
        """Whether each mail but one is proved to have lost its mark or its answer.

        A claim that was neither returned nor marked, and was followed by another once its lease was over, is of a sender
        that died, or could reach the store no more: a slow one sends nothing at that age.
        """
        senders = sum(claim.may_have_sent for claim in self.claims)
        early = any(
            not claim.returned and (after.at - claim.at) < LEASE.total_seconds() for claim, after in pairwise(self.claims)
        )
        return len(set(self.message_ids)) == 1 and len(self.message_ids) <= senders and not early


async def read(store: Store, message_ids: Mapping[str, Sequence[str]]) -> dict[str, Mailing]:
    """The mailings of requests that got several mails; without its claims where the bucket does not tell."""
    found = {}
    for request, ids in message_ids.items():
        try:
            found[request] = Mailing(ids, await claims(store, request))
        except (EventingError, ValueError, KeyError):
            found[request] = Mailing(ids, ())
    return found


async def claims(store: Store, request: str) -> list[Claim]:
    """The claims of a request's mail as the bucket has them.

    Raises:
        StoreError: it cannot be read.
    """
    folder = f"requests/{request}/mail"
    keys = set(await store.keys(folder))
    marked = (await _read(store, f"{folder}/sent.json")).get("claim")
    found = []
    for number in range(1, len(keys) + 1):
        key = f"{folder}/claim-{number:03d}"
        if f"{key}.json" not in keys:
            break
        at = datetime.fromisoformat((await _read(store, f"{key}.json"))["at"]).timestamp()
        returned = await _read(store, f"{key}-returned.json")
        found.append(Claim(at, bool(returned), bool(returned.get("unanswered")), marked == number))
    return found


async def _read(store: Store, key: str) -> Mapping[str, Any]:
    content = json.loads(await store.get(key) or b"{}")
    return content if isinstance(content, dict) else {}
