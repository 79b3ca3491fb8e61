"""Kafka and the model server together: started side by side, adopted where they run, stopped with whatever is left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from eventing.local import kafka_server, model_server, processes
from eventing.local.config import Config, Progress


def start(config: Config, progress: Progress) -> None:
    """Bring both up; returns once both answer.

    Raises:
        LocalPlatformError: when one cannot be; the other is left as it is, for `stop` or the next start.
    """
    with ThreadPoolExecutor(2, "service") as pool:
        starting = [pool.submit(service.start, config, progress) for service in (kafka_server, model_server)]
        for one in starting:
            one.result()


def stop(config: Config) -> list[str]:
    """End every process that was started from this state folder, agents first, Kafka last; their names."""
    order = {kafka_server.NAME: 2, model_server.NAME: 1}
    found = sorted(processes.leftovers(config.state), key=lambda service: order.get(service.name, 0))
    for service in found:
        processes.stop(service)
    return [service.name for service in found]
