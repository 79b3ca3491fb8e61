"""A broker that is away is told once, however many clients notice it however often."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

OVER_S = 30.0  # without a failure an outage is over: clients try at least every 10 s
_NOTICES = ("FAIL", "ERROR")  # librdkafka's words for what happens to a connection
_ADDRESS = re.compile(r"[\w.-]+:\d+")


class Outages(logging.Filter):
    """Lets the first failure of an outage pass, by address, and keeps the rest back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._failed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        facility, _, text = record.getMessage().partition(" ")
        if facility not in _NOTICES:
            return True
        text = text.rpartition("]: ")[2]
        found = _ADDRESS.search(text)
        address, now = found[0] if found else "", self._clock()
        first = now - self._failed.get(address, -OVER_S) >= OVER_S
        self._failed[address] = now
        record.msg, record.args = f"Kafka is away, and is tried again until it is there: {text}", ()
        return first
