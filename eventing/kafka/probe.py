"""Whether a broker answers."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


def answers(bootstrap: str, time_limit_s: float = 1.0) -> bool:
    """Whether a broker answers a request for its metadata in time."""
    quiet: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "socket.connection.setup.timeout.ms": 1000,
        "log_level": 0,
        "error_cb": lambda _: None,
    }
    try:
        return bool(AdminClient(quiet).list_topics(timeout=time_limit_s).brokers)
    except KafkaException:
        return False
