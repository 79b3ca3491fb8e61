"""What functions-framework serves for every agent: the agent that TORPOR_AGENT names."""

# ruff: noqa: E402
import gc

gc.disable()  # nothing that is imported is garbage; looking for some takes a fifth of the time in which an agent wakes

import importlib
import os
import threading
from types import ModuleType

from eventing.errors import ConfigurationError
from eventing.function import serve
from eventing.runtime import Runtime
from eventing.stalls import ALARM
from inference.client import from_environment

UNASKED_S = 0.2  # an agent that is awake for so long without an event was woken ahead of it


def _agent(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"functions.{name}.agent")
    except ModuleNotFoundError as error:
        if error.name not in (f"functions.{name}", f"functions.{name}.agent"):
            raise  # the agent is there; what it imports is not
        raise ConfigurationError(
            f"TORPOR_AGENT={name!r}: {error}; an agent is functions/<name>/agent.py with `handle` made by @agent"
        ) from error


def _meanwhile(names: tuple[str, ...]) -> None:
    """Load what an agent's events need, and its wake does not."""
    for name in names:
        importlib.import_module(name)


ALARM.arm()
_of = _agent(os.environ.get("TORPOR_AGENT", ""))
function = serve(_of.handle, Runtime(os.environ), from_environment(os.environ))
if needed := getattr(_of, "NEEDED", ()):
    loading = threading.Timer(UNASKED_S, _meanwhile, [needed])
    loading.daemon = True
    loading.start()
gc.freeze()
gc.enable()
