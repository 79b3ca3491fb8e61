"""The connections of a function process, made at one place from its environment and opened on the first request."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from uuid import UUID

from eventing import workflow
from eventing.agent import Mailer, StepKey
from eventing.deadletters import DeadLetters
from eventing.errors import ConfigurationError, EventingError
from eventing.mail import ClaimedMailer, NoMailer, Server
from eventing.publishing import Publisher
from eventing.state import Journal
from eventing.step import Steps
from eventing.store import Store
from eventing.waking import SERVICES, Waker
from eventing.web import FetchError, Web, origin


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Runtime:
    """What a function works with; every part is made when it is first asked for."""

    environ: Mapping[str, str]
    clock: Callable[[], datetime] = field(default=now)

    def prepare(self) -> None:
        """Make what every event needs, but for connections; what is wrong with it the first event tells."""
        with contextlib.suppress(EventingError):
            self.workflow, self.steps, self.waker  # noqa: B018 (each is made by being asked for)

    def _needed(self, name: str, example: str) -> str:
        value = self.environ.get(name)
        if not value:
            raise ConfigurationError(f"the environment variable {name} is not set; it should be like {example}")
        return value

    @cached_property
    def workflow(self) -> workflow.Workflow:
        """The workflow that TORPOR_WORKFLOW names (a file, or one that the package brings); `research` where it is unset."""
        name = self.environ.get("TORPOR_WORKFLOW", "research")
        return workflow.load(Path(name)) if name.endswith((".yaml", ".yml")) else workflow.named(name)

    @cached_property
    def store(self) -> Store:
        return Store.open(self._needed("TORPOR_STORE", "s3://bucket or file:///folder"), self.environ)

    @cached_property
    def publisher(self) -> Publisher:
        ingress = "http://kafka-broker-ingress.knative-eventing.svc.cluster.local/torpor"
        return Publisher(self._needed("TORPOR_INGRESS", ingress), self.store)

    @cached_property
    def steps(self) -> Steps:
        steps = Steps(self.store, self.publisher.publish, frozenset(self.workflow.ends))
        if order := self.environ.get("TORPOR_CRASH_AT"):  # in development, where a chaos run sets it
            from eventing.crashes import Crashes

            return Crashes(Path(order)).steps(steps)
        return steps

    @cached_property
    def waker(self) -> Waker:
        return Waker(self.workflow, self.environ.get("TORPOR_FUNCTIONS", SERVICES))

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.store)

    @cached_property
    def dead_letters(self) -> DeadLetters:
        return DeadLetters(self.store)

    async def watch(self, request_id: UUID, deadline: datetime) -> None:
        """Have the tracker end a request, unless it has ended, when its deadline has passed."""
        moment = deadline.astimezone(UTC).replace(microsecond=0).isoformat()
        await self.store.create(f"deadlines/{moment}/{request_id}", b"")

    @cached_property
    def public_url(self) -> str:
        """Where people reach the gateway, without a slash at its end."""
        return self.environ.get("TORPOR_PUBLIC_URL", "http://localhost:8080").rstrip("/")

    @cached_property
    def time_limit_s(self) -> float:
        """How long an agent may work on an event, in seconds."""
        value = self.environ.get("TORPOR_TIME_LIMIT_S", "60")
        try:
            return float(value)
        except ValueError:
            raise ConfigurationError(f"TORPOR_TIME_LIMIT_S must be a number of seconds, got {value!r}") from None

    @cached_property
    def settings(self) -> dict[str, str]:
        """What agents may read: TORPOR_SETTING_SOURCES=x is {"sources": "x"}; one that is empty is none."""
        prefix = "TORPOR_SETTING_"
        set_to = {name: value for name, value in self.environ.items() if name.startswith(prefix) and value}
        return {name.removeprefix(prefix).lower(): value for name, value in set_to.items()}

    @cached_property
    def web(self) -> Web:
        """The web for agents; private may be only the origins of settings that end in `_url`, and those of `web_inner`."""
        urls = {name: value for name, value in self.settings.items() if name.endswith("_url") and value}
        try:
            trusted = frozenset(map(origin, urls.values()))
            inner = frozenset(map(origin, self.settings.get("web_inner", "").split()))
        except FetchError as error:
            told = urls | {"web_inner": self.settings.get("web_inner", "")}
            raise ConfigurationError(f"a setting TORPOR_SETTING_..._URL or WEB_INNER holds {error}: {told}") from error
        return Web(self.settings.get("web_contact", ""), trusted, inner)

    def mailer(self, key: StepKey) -> Mailer:
        """The mailer of one step; without TORPOR_SMTP one that refuses."""
        if self._mail_server is None:
            return NoMailer()
        sender = self.environ.get("TORPOR_MAIL_FROM", "torpor@localhost")
        return ClaimedMailer(self._mail_server, sender, self.store, key, self.clock)

    @cached_property
    def _mail_server(self) -> Server | None:
        url = self.environ.get("TORPOR_SMTP")
        return Server.parse(url) if url else None
