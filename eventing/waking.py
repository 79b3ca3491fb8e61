"""Waking ahead: who will surely be needed next is touched while a step goes on, and is awake when its event comes.

Only with `prewake: true` in the workflow file. Nothing waits for a touch, nothing fails by one, and nobody is touched who
might not be needed: an agent that woke for nothing is what this platform is there to avoid.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable

from eventing.errors import ConfigurationError
from eventing.posting import ExchangeError, Poster
from eventing.workflow import Step, Workflow

LOG = logging.getLogger("torpor")
SERVICES = "http://{name}.torpor.svc.cluster.local"
AGAIN_S = 5.0  # parts of a request are at work side by side: one touch does for all of them
LIMIT_S = 30.0  # a touch is answered once the agent is awake; who began to wake goes on without it


def surely_next(workflow: Workflow, step: Step) -> frozenset[str]:
    """The agents that come next, without which the request cannot end whatever the step answers.

    Who does a brief step has no time to wake the one after it, so that one counts as next too.
    """
    following = _soon(workflow, step.answers, ()) - {step.agent}
    return frozenset(agent for agent in following if _leads_to(workflow, step, agent, ()))


def surely_after(workflow: Workflow, event: str) -> frozenset[str]:
    """The agents that are needed next once the event is there."""
    takers = workflow.takers(event)
    return frozenset(taker.agent for taker in takers).union(*(surely_next(workflow, one) for one in takers if one.brief))


def _soon(workflow: Workflow, events: Iterable[str], passed: tuple[str, ...]) -> frozenset[str]:
    """Who may take one of the events, or what brief steps make of it."""
    takers = {taker for event in events for taker in workflow.takers(event) if taker.name not in passed}
    beyond = (_soon(workflow, taker.answers, (*passed, taker.name)) for taker in takers if taker.brief)
    return frozenset(taker.agent for taker in takers).union(*beyond)


def _leads_to(workflow: Workflow, step: Step, agent: str, passed: tuple[str, ...]) -> bool:
    """Whether each answer of the step brings work to the agent, sooner or later."""
    if step.name in passed:
        return True  # loops are bounded: what counts is how they are left
    passed = (*passed, step.name)
    return bool(step.answers) and all(
        any(taker.agent == agent or _leads_to(workflow, taker, agent, passed) for taker in workflow.takers(event))
        for event in step.answers
    )


class Waker:
    """Touches agents: a GET of their readiness, which Serving holds until they are awake.

    Args:
        services: the URL of an agent's Service, with `{name}` where its name goes.

    Raises:
        ConfigurationError: when `services` is no such URL.
    """

    def __init__(self, workflow: Workflow, services: str = SERVICES, clock: Callable[[], float] = time.monotonic) -> None:
        if "{name}" not in services or not services.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"TORPOR_FUNCTIONS must be a URL with {{name}} in it, like {SERVICES}; got {services!r}"
            )
        self._workflow, self._services, self._clock = workflow, services, clock
        self._touched: dict[str, float] = {}
        self._touching: set[asyncio.Task[None]] = set()  # the loop itself holds its tasks weakly

    def begun(self, step: Step) -> None:
        """Wake whoever is needed next whatever the step answers."""
        if self._workflow.prewake:
            self._touch(surely_next(self._workflow, step))

    def coming(self, event: str) -> None:
        """Wake whoever is needed once an event is there that is sure to come."""
        if self._workflow.prewake:
            self._touch(surely_after(self._workflow, event))

    def _touch(self, agents: Iterable[str]) -> None:
        now = self._clock()
        for agent in agents:
            if now - self._touched.get(agent, -AGAIN_S) >= AGAIN_S:
                self._touched[agent] = now
                task = asyncio.ensure_future(self._touched_once(agent))
                self._touching.add(task)
                task.add_done_callback(self._touching.discard)

    async def _touched_once(self, agent: str) -> None:
        """One touch; what becomes of it is for the log alone."""
        with contextlib.suppress(asyncio.CancelledError):
            try:
                url = self._services.format(name=agent.replace("_", "-"))
                reply = await Poster(url).get("health/readiness", LIMIT_S)
                told = f"{url} answered {reply.status}" if reply.status >= 400 else ""
            except (ExchangeError, ValueError) as error:
                told = f"{self._services} {error}"
            if told:
                LOG.info("%s could not be woken ahead of its event: %s", agent, told)
