"""The pools' file: which model servers there are, what they serve, what they take at once and what a token costs there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.scheduler.errors import ConfigurationError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$", max_length=120)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Part):
    """What a million tokens cost, in `currency`."""

    input: float = Field(0.0, ge=0)
    output: float = Field(0.0, ge=0)
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


class Server(_Part):
    """One OpenAI-compatible server. `kind` tells how it continues a broken answer, and whether it shows its queue."""

    name: Name
    url: str = Field(pattern=r"^https?://[^\s@]+$", description="its base URL, with /v1")
    kind: Literal["vllm", "llama.cpp", "openai"] = "openai"
    model: Name | None = Field(None, description="the model's name there; the name that was asked for where it is absent")
    key_env: str | None = Field(None, pattern=r"^[A-Z_][A-Z0-9_]*$", description="environment variable that holds its key")
    slots: int = Field(8, ge=1, le=4096, description="calls at once")
    price: Price = Price()

    def key(self, environ: Mapping[str, str]) -> str | None:
        return (environ.get(self.key_env, "").strip() or None) if self.key_env else None


class Pool(_Part):
    """Servers that are as good as each other for some models; `fallback` is asked when none of them can be."""

    name: Name
    models: tuple[Name, ...] = Field(min_length=1)
    servers: tuple[Server, ...] = Field(min_length=1)
    fallback: Name | None = None


class Breaking(_Part):
    failures: int = Field(5, ge=1)
    reset_s: Seconds = 30.0
    probe_s: Seconds = Field(
        5.0, description="silence that a probe bears; the next one twice as much, where it was too long"
    )


class Limits(_Part):
    """What the scheduler itself takes."""

    waiting: int = Field(20_000, ge=1, description="calls that wait for a server")
    open_requests: int = Field(10_000, ge=1, description="requests that were admitted and have not ended")
    max_tokens: int = Field(1024, ge=1, description="of a call that names none")
    connect_s: Seconds = 3.0
    first_token_s: Seconds = 120.0
    silence_s: Seconds = Field(60.0, description="between two tokens of one answer, while others are heard")
    stall_s: Seconds = Field(30.0, description="after which a server is given up of which no answer that it began is heard")
    unattended_s: Seconds = Field(300.0, description="how long an answer that nobody waits for is generated on")
    attempts: int = Field(4, ge=1, description="servers' failures on one call before its caller is told")


class Pools(_Part):
    """The whole file."""

    pools: tuple[Pool, ...] = Field(min_length=1)
    affinity: bool = Field(True, description="prefer the server that has a prompt's beginning in its prefix cache")
    breaker: Breaking = Breaking()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _sound(self) -> Pools:
        names = [pool.name for pool in self.pools]
        servers = [server.name for pool in self.pools for server in pool.servers]
        models = [model for pool in self.pools for model in pool.models]
        for what, found in (("pool", names), ("server", servers), ("model", models)):
            if doubled := next((one for one in found if found.count(one) > 1), None):
                raise ValueError(f"the {what} {doubled!r} is named twice")
        after = {pool.name: pool.fallback for pool in self.pools}
        for pool in self.pools:
            seen, at = [pool.name], pool.fallback
            while at is not None:
                if at not in after:
                    raise ValueError(
                        f"pool {pool.name!r} falls back to {at!r}, which is no pool; there are {', '.join(names)}"
                    )
                if at in seen:
                    raise ValueError(f"the fallbacks {' -> '.join([*seen, at])} go round in a circle")
                seen, at = [*seen, at], after[at]
        return self


def load(path: Path) -> Pools:
    """The pools of a file.

    Raises:
        ConfigurationError: naming the line, what is wrong with it and what would be right.
    """
    try:
        text = path.read_text()
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
        raise ConfigurationError(f"{path}:{mark.line + 1 if mark else 1}: is no YAML: {problem}") from error
    try:
        return Pools.model_validate(content)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        told = (f"{path}:{_line(node, fault['loc'])}: {_field(fault['loc'])}{_wrong(fault)}" for fault in faults)
        raise ConfigurationError("\n".join(told)) from error


def _wrong(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        section = next((step for step in reversed(fault["loc"][:-1]) if isinstance(step, str)), "")
        return f"there is no such key; known: {', '.join(_SECTIONS[section].model_fields)}"
    return str(fault["msg"].removeprefix("Value error, "))


_SECTIONS: dict[str, type[_Part]] = {
    "": Pools,
    "pools": Pool,
    "servers": Server,
    "price": Price,
    "breaker": Breaking,
    "limits": Limits,
}


def _field(loc: tuple[int | str, ...]) -> str:
    return f"{'.'.join(map(str, loc))}: " if loc else ""


def _line(node: Any, loc: tuple[int | str, ...]) -> int:
    """The line of a place in the document, or of the nearest that is there."""
    line = node.start_mark.line + 1 if node is not None else 1
    for step in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == step), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return int(line)
