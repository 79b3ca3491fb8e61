"""A workflow of four agents that only pass a text on, and what functions-framework serves for each of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from eventing import Context, agent
from eventing.agent import Agent
from schemas import Contract

LINKS = 4
TOPICS = ("chain_opened", *(f"chain_link_{n}" for n in range(1, LINKS)), "chain_ended")
WORKFLOW = "chain.yaml"


class Opened(Contract, event=TOPICS[0]):
    text: str


class Link1(Contract, event=TOPICS[1]):
    text: str


class Link2(Contract, event=TOPICS[2]):
    text: str


class Link3(Contract, event=TOPICS[3]):
    text: str


class Ended(Contract, event=TOPICS[4]):
    text: str


CONTRACTS: tuple[type[Contract], ...] = (Opened, Link1, Link2, Link3, Ended)


@agent("link_1")
async def link_1(said: Opened, ctx: Context) -> Link1:
    return Link1(request_id=said.request_id, text=await _passed_on(said.text, ctx))


@agent("link_2")
async def link_2(said: Link1, ctx: Context) -> Link2:
    return Link2(request_id=said.request_id, text=await _passed_on(said.text, ctx))


@agent("link_3")
async def link_3(said: Link2, ctx: Context) -> Link3:
    return Link3(request_id=said.request_id, text=await _passed_on(said.text, ctx))


@agent("link_4")
async def link_4(said: Link3, ctx: Context) -> Ended:
    return Ended(request_id=said.request_id, text=await _passed_on(said.text, ctx))


AGENTS: dict[str, Agent] = {a.name: a for a in (link_1, link_2, link_3, link_4)}


async def _passed_on(text: str, ctx: Context) -> str:
    if text.startswith("ask "):  # a chain that calls the model, too
        await ctx.llm.text(text[:200], max_tokens=16)
    return text


def workflow() -> str:
    """The workflow file."""
    lines = [f"name: chain\nopens: {TOPICS[0]}\nends: [{TOPICS[-1]}]\ndeadline: 30m\nbudget_tokens: 60000"]
    lines.append("partitions: 6\ntracker: null\ndead_letters: agent_errors\nsteps:")
    for n in range(LINKS):
        lines.append(f"  link_{n + 1}:\n    agent: link_{n + 1}\n    takes: [{TOPICS[n]}]\n    answers: [{TOPICS[n + 1]}]")
    return "\n".join(lines) + "\n"


def func_yaml(name: str, workflow_file: Path, notes: Path | None) -> dict[str, Any]:
    """func.yaml of an agent; with `notes`, its process writes down when what happened."""
    environ = {
        "FUNCTION_TARGET": "function",
        "FUNCTION_SOURCE": str(Path(__file__).with_name("served.py")),
        "TORPOR_AGENT": name,
        "TORPOR_WORKFLOW": str(workflow_file),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        **({"BENCH_NOTES": str(notes)} if notes else {}),
    }
    return {
        "specVersion": "0.36.0",
        "name": name.replace("_", "-"),
        "run": {"envs": [{"name": k, "value": v} for k, v in environ.items()]},
        "deploy": {"options": {"scale": {"max": 1}, "resources": {"limits": {"concurrency": 64}}}},
    }
