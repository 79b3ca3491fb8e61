"""A process dies at the effect of a step that it is told to die at, once, and at no other."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventing.crashes import PLACES

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from eventing.crashes import Crashes
from eventing.step import Steps
from eventing.testing import memory_bucket

async def publish(event):
    print("published", flush=True)

steps = Crashes(Path(sys.argv[1])).steps(Steps(memory_bucket(), publish, frozenset()))

async def main():
    await steps.objects.create("a", b"a")
    print("stored", flush=True)
    await steps.publish(None)
    await steps.objects.mark("m", "a")
    print("marked", flush=True)

asyncio.run(main())
os._exit(0)  # the store's threads may abort an interpreter that ends
"""
SAID = {"before store": 0, "after store": 0, "before publish": 1, "after publish": 2, "before mark": 2, "after mark": 2}


@pytest.mark.parametrize("place", PLACES)
def test_it_dies_there_and_takes_the_order_with_it(tmp_path: Path, place: str) -> None:
    order = tmp_path / "order"
    order.write_text(place)
    died = subprocess.run([sys.executable, "-c", PROGRAM, str(order)], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert len(died.stdout.split()) == SAID[place]
    assert not order.exists()
    again = subprocess.run([sys.executable, "-c", PROGRAM, str(order)], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout.split()) == (0, ["stored", "published", "marked"])
