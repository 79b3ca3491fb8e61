"""What functions-framework serves for every agent: the agent that TORPOR_AGENT names.

An agent's module may have a function `prepare` for what its first event needs and its wake does not: a library that is slow
to load, say.
"""

# ruff: noqa: E402
import gc

gc.disable()  # nothing that is imported is garbage; looking for some takes a fifth of the time in which an agent wakes

import importlib
import os
from types import ModuleType

from eventing.errors import ConfigurationError
from eventing.function import prepare_soon, serve
from eventing.runtime import Runtime
from eventing.stalls import ALARM
from inference.client import from_environment


def _agent(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"functions.{name}.agent")
    except ModuleNotFoundError as error:
        if error.name not in (f"functions.{name}", f"functions.{name}.agent"):
            raise  # the agent is there; what it imports is not
        raise ConfigurationError(
            f"TORPOR_AGENT={name!r}: {error}; an agent is functions/<name>/agent.py with `handle` made by @agent"
        ) from error


ALARM.arm()
_of = _agent(os.environ.get("TORPOR_AGENT", ""))
_runtime = Runtime(os.environ)
function = serve(_of.handle, _runtime, from_environment(os.environ))
prepare_soon(_runtime.prepare, getattr(_of, "prepare", lambda: None))
gc.freeze()
gc.enable()
