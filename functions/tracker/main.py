"""What functions-framework serves for the tracker."""

import os
from functools import cache

from eventing import telemetry
from eventing.envelope import Event
from eventing.function import takes_events
from eventing.runtime import Runtime
from functions.accounts import Desk
from functions.tracker.tracking import Tracker

telemetry.start("tracker", os.environ)


@cache
def _tracker() -> Tracker:
    return Tracker(Runtime(os.environ), Desk.of(os.environ))


async def _take(event: Event, coldstart: bool) -> str:
    return (await _tracker().take(event, coldstart)).split()[0]


function = takes_events("tracker", _take)
