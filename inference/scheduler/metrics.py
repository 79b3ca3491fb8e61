"""What the scheduler counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
STATES = {"closed": 0, "half-open": 1, "open": 2}


class Metrics:
    """The figures of one scheduler."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def made(kind: type, name: str, told: str, labels: tuple[str, ...] = (), **more: object):  # type: ignore[no-untyped-def]
            return kind(f"torpor_scheduler_{name}", told, labels, registry=self.registry, **more)

        self.calls = made(Counter, "calls", "Calls by how they ended", ("model", "outcome"))
        self.generations = made(Counter, "generations", "Generations that servers began", ("server",))
        self.tokens = made(Counter, "tokens", "Tokens bought", ("server", "kind"))
        self.twice = made(Counter, "tokens_twice", "Tokens that were generated, given up and bought again", ("server",))
        self.cost = made(Counter, "cost", "What the tokens cost", ("server", "currency"))
        self.failures = made(Counter, "server_failures", "Failures of servers", ("server", "kind"))
        self.breaker = made(Gauge, "breaker_state", "0 closed, 1 half-open, 2 open", ("server",))
        self.changes = made(Counter, "breaker_changes", "Changes of breakers", ("server", "to"))
        self.in_flight = made(Gauge, "in_flight", "Calls that a server works on", ("server",))
        self.slots = made(Gauge, "slots", "Calls that a server takes at once", ("server",))
        self.waiting = made(Gauge, "waiting", "Calls that wait for a server")
        self.open_requests = made(Gauge, "open_requests", "Requests that are open")
        self.queue_s = made(Histogram, "queue_seconds", "How long calls waited for a server", buckets=_SECONDS)
        self.first_token_s = made(
            Histogram, "first_token_seconds", "From a server's slot to its first token", ("server",), buckets=_SECONDS
        )

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return bytes(generate_latest(self.registry))
