"""A scenario: what is asked of the platform, and what goes wrong meanwhile. Read from YAML, or shipped by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from eventing.crashes import PLACES
from eventing.errors import EventingError
from eventing.workflow import line_of, no_such_key, no_yaml

SHIPPED = Path(__file__).with_name("scenarios")
KILLS = ("agents", "dispatcher", "broker", "model", "scheduler")
SPELLS = ("latency", "errors", "hang", "garbage")
# What makes a model call be bought again, for which nobody can answer: a generation that dies with its server is lost.
COSTLY = frozenset({"model", "scheduler", *SPELLS})
Kind = Literal[
    "agents",
    "dispatcher",
    "broker",
    "model",
    "scheduler",
    "latency",
    "errors",
    "hang",
    "garbage",
    "store",
    "disk",
    "redelivery",
]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
# Each field that not every fault has, and the faults that have it.
_ONLY = {
    "at": ("agents",),
    "agent": ("agents",),
    "lasts": (*SPELLS, "store", "disk"),
    "delay": ("latency", "store"),
    "count": ("redelivery",),
    "how": ("store",),
    "of": ("disk",),
}
_NEEDED = {"store": "how", "disk": "of"}
_OLD_ENOUGH_S = 60.0


class ScenarioError(EventingError):
    """A scenario cannot be run; the message names its line."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fault(_Part):
    """One thing that goes wrong, once or again and again; moments are seconds from the first request on."""

    kind: Kind
    after: Seconds = 5.0
    every: Seconds | None = Field(None, description="seconds between two of them, give or take a third")
    times: int = Field(1, ge=1, le=10_000)
    at: str | None = Field(None, description="of agents: an effect of a step, or `effects` for each of them in turn")
    agent: str | None = Field(None, description="of agents: this one alone; any if it is not named")
    lasts: Seconds = Field(5.0, description="of a bad spell of the model, the store or a disk")
    delay: Seconds = Field(2.0, description="of latency: how much later the model, or the store, answers")
    how: Literal["errors", "latency", "away"] | None = Field(None, description="of store: what is wrong with it")
    of: Literal["store", "scheduler", "broker"] | None = Field(None, description="of disk: whose is full")
    count: int = Field(20, ge=1, le=10_000, description="of redelivery: how many old events")

    @model_validator(mode="after")
    def _sound(self) -> Fault:
        for name, kinds in _ONLY.items():
            if name in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"`{name}` belongs to {' and '.join(kinds)}, not to {self.kind}")
        needed = _NEEDED.get(self.kind, "kind")
        if getattr(self, needed) is None:
            one_of = "errors, latency, away" if needed == "how" else "store, scheduler, broker"
            raise ValueError(f"a fault of the {self.kind} needs `{needed}`: one of {one_of}")
        if self.kind == "store" and self.how != "latency" and "delay" in self.model_fields_set:
            raise ValueError(f"`delay` belongs to `how: latency`, not to {self.how}")
        if self.times > 1 and not self.every:
            raise ValueError(f"{self.times} times need `every`: the seconds between two of them")
        if self.at not in (None, "effects", *PLACES):
            raise ValueError(f"`at` is one of effects, {', '.join(PLACES)}, got {self.at!r}")
        if self.kind == "redelivery" and self.after < _OLD_ENOUGH_S + 5:
            raise ValueError(f"old events are those of more than {_OLD_ENOUGH_S:.0f} s ago: `after` must be 65 at least")
        return self

    def moments(self, chance: Random) -> Iterator[float]:
        """When it strikes, in seconds; those that come again come at random moments."""
        for number in range(self.times):
            every = self.every or 0.0
            yield self.after + number * every + (chance.uniform(-every / 3, every / 3) if number else 0.0)

    def places(self) -> Iterator[str | None]:
        """Where an agent dies, for each time that it strikes; None is anywhere."""
        for number in range(self.times):
            yield PLACES[number % len(PLACES)] if self.at == "effects" else self.at


class Stub(_Part):
    """The model server that only pretends; a platform of one's own has its own."""

    slots: int = Field(16, ge=1, le=1000, description="calls at once")
    tokens_per_second: float = Field(0.0, ge=0, description="of one call; 0 answers at once")


class Scenario(_Part):
    """What is asked, what goes wrong, and how long it may take until all has ended."""

    about: str = ""
    requests: int = Field(100, ge=1, le=100_000)
    rate: float = Field(4.0, gt=0, le=1000, description="requests a second")
    depth: int = Field(1, ge=1, le=5)
    settle: Seconds = Field(
        240.0, description="after the last fault, until all must have ended; and again, for mails and accounts"
    )
    model: Stub = Stub()
    faults: tuple[Fault, ...] = ()

    @property
    def costly(self) -> bool:
        """Whether anything dies or fails that can make a model call be bought twice."""
        return any(fault.kind in COSTLY for fault in self.faults)

    @property
    def strikes_store(self) -> bool:
        """Whether the store must be one that can be struck."""
        return any(fault.kind == "store" or fault.of == "store" for fault in self.faults)

    @property
    def strikes_gateway(self) -> bool:
        """Whether a process can die that somebody who asks is speaking with."""
        return any(fault.kind in ("agents", "dispatcher") for fault in self.faults)


def names() -> list[str]:
    """The scenarios that are shipped."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load(given: str) -> Scenario:
    """The scenario of a file, or of a name that is shipped.

    Raises:
        ScenarioError: naming the line, what is wrong with it and what would be right.
    """
    path = SHIPPED / f"{given}.yaml" if given in names() else Path(given)
    try:
        text = path.read_text()
        content = yaml.safe_load(text)
    except OSError as error:
        shipped = ", ".join(names())
        raise ScenarioError(f"{given}: {error.strerror}; name a file, or one of {shipped}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line, what = no_yaml(error)
        raise ScenarioError(f"{path}:{line}: is no YAML: {what}") from error
    if not isinstance(content, dict):
        raise ScenarioError(f"{path}:1: a scenario is a mapping such as `requests: 100`, got {type(content).__name__}")
    try:
        return Scenario.model_validate(content)
    except ValidationError as error:
        raise ScenarioError("\n".join(_told(path, text, fault) for fault in error.errors(include_url=False))) from error


def _told(path: Path, text: str, fault: Any) -> str:
    loc, what = fault["loc"], fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        what = no_such_key(str(loc[-1]), _SECTIONS[str(loc[0]) if len(loc) > 1 else ""].model_fields)
    return f"{path}:{line_of(text, *loc)}: {'.'.join(map(str, loc))}{': ' if loc else ''}{what}"


_SECTIONS: dict[str, type[_Part]] = {"": Scenario, "model": Stub, "faults": Fault}
