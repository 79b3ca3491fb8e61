"""Functions that run elsewhere: Knative Services of a cluster that has Serving. No process of theirs is started here."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from eventing.local.resources import Sink


@dataclass(frozen=True)
class Services:
    """Where the Services are.

    Args:
        url: a Service's address, with `{name}` for its name.
        via: the base URL that connections go to where the addresses' names cannot be resolved; their `Host` stays.
    """

    url: str
    via: str = ""

    def sink(self, name: str, path: str = "") -> Sink:
        """The Service as a sink."""
        url = self.url.format(name=name).rstrip("/")
        if not self.via:
            return Sink(uri=url + path)
        return Sink(uri=self.via.rstrip("/") + path, host=urlsplit(url).netloc)
