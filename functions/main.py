"""What functions-framework serves for every agent: the agent that TORPOR_AGENT names."""

# ruff: noqa: E402
import gc

gc.disable()  # nothing that is imported is garbage; looking for some takes a fifth of the time in which an agent wakes

import importlib
import os

from eventing import Agent
from eventing.errors import ConfigurationError
from eventing.function import serve
from eventing.runtime import Runtime
from eventing.stalls import ALARM
from inference.client import from_environment


def _agent(name: str) -> Agent:
    try:
        found: Agent = importlib.import_module(f"functions.{name}.agent").handle
        return found
    except ModuleNotFoundError as error:
        if error.name not in (f"functions.{name}", f"functions.{name}.agent"):
            raise  # the agent is there; what it imports is not
        raise ConfigurationError(
            f"TORPOR_AGENT={name!r}: {error}; an agent is functions/<name>/agent.py with `handle` made by @agent"
        ) from error


ALARM.arm()
function = serve(_agent(os.environ.get("TORPOR_AGENT", "")), Runtime(os.environ), from_environment(os.environ))
gc.freeze()
gc.enable()
