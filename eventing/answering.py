"""The events that a step answers with: what each says of itself, and what the step cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eventing import costs, ids
from eventing.agent import StepKey, Usage
from eventing.envelope import Event
from schemas import Contract


def events_of(answered: Sequence[Contract], key: StepKey, common: Mapping[str, str], cost: Mapping[str, str]) -> list[Event]:
    """One event per answer; what the step cost is said once, by its first."""
    return [
        _event(answer, ids.answer_id(key, number), {**common, **(cost if number == 0 else {})})
        for number, answer in enumerate(answered)
    ]


def cost_of(usage: Usage, duration_ms: int, coldstart: bool) -> dict[str, str]:
    """What a step took, as attributes."""
    return {
        "durationms": str(duration_ms),
        "tokens": str(usage.tokens),
        "coldstart": "true" if coldstart else "false",
        **costs.told(usage.cost, usage.currency),
        **({"refusedcalls": str(usage.refused)} if usage.refused else {}),
    }


def _event(answer: Contract, event_id: str, common: Mapping[str, str]) -> Event:
    own = {"id": event_id, "type": answer.event, "dataschema": answer.dataschema()}
    for name in ("part", "revision"):
        if (value := vars(answer).get(name)) is not None:
            own[name] = str(value)
    return Event({**common, **own}, answer.model_dump_json().encode())
