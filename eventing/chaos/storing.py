"""The run's own store, which can be struck: an S3 server that pretends, with its objects in the run's folder."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from eventing import project
from eventing.local import processes
from eventing.local.asking import UnansweredError, ask, healthy

NAME = "chaos-store"
URL = "s3://torpor"
_ANSWER_LIMIT_S = 5.0
_TREATED_S = 15.0


@dataclass(frozen=True)
class StoreServer:
    """The server as a process that a run starts, treats and kills."""

    state: Path
    port: int

    @property
    def environ(self) -> dict[str, str]:
        """What whoever opens the store must have in its environment."""
        address = f"http://127.0.0.1:{self.port}"
        return {"TORPOR_STORE": URL, "AWS_ENDPOINT_URL": address, "AWS_REGION": "us-east-1", "AWS_SKIP_SIGNATURE": "true"}

    @property
    def folder(self) -> Path:
        """Where the bucket lies on disk."""
        return self.state / "store" / "torpor"

    def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            ServiceError: when it does not come up.
        """
        command = [sys.executable, "-m", "eventing.testing", "--port", str(self.port)]
        command += ["--folder", str(self.folder.parent)]
        service = processes.start(self.state, NAME, command, os.environ, project.PACKAGE)
        ready = partial(healthy, self.port, _ANSWER_LIMIT_S)
        processes.wait(service, "the store that pretends", ready, 30.0, lambda *_: None)

    def treat(self, how: dict[str, Any]) -> None:
        """How it treats every request from now on; one that is being started anew is waited for."""
        end = time.monotonic() + _TREATED_S
        while True:
            try:
                ask(f"http://127.0.0.1:{self.port}/otherwise", _ANSWER_LIMIT_S, "PUT", json=how)
                return
            except UnansweredError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
