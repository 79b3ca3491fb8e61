"""`python -m inference.scheduler --config pools.yaml --port 8091`: the scheduler as a process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from inference.scheduler.admission import Admission
from inference.scheduler.announcing import Announcer
from inference.scheduler.archive import Archive
from inference.scheduler.breaker import Breaker
from inference.scheduler.calls import Calls
from inference.scheduler.config import Pools, load
from inference.scheduler.errors import ConfigurationError
from inference.scheduler.journal import Journal
from inference.scheduler.metrics import Metrics
from inference.scheduler.servers import ModelServer, watch
from inference.scheduler.service import Service
from inference.scheduler.upstream import Upstream
from schemas.platform import BreakerChanged

SWEEP_EVERY_S = 5.0
AGAIN_S = 1.0
_log = logging.getLogger("scheduler")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code is 0 then, and 2 when it could not start."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # what is no HTTP gets its 400 and is no news
    try:
        pools = load(given.config)
        _with_uvloop(_served(pools, given))
    except (ConfigurationError, OSError) as error:
        print(f"scheduler: {error}", file=sys.stderr)
        return 2
    return 0


def _with_uvloop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _served(pools: Pools, given: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    store = given.store or os.environ.get("TORPOR_STORE") or (given.journal.resolve() / "answers").as_uri()
    async with running(pools, given.journal, store, os.environ.get("TORPOR_INGRESS")) as app:
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, given.host, given.port, backlog=4096).start()
            models = ", ".join(model for pool in pools.pools for model in pool.models)
            _log.info("scheduler: http://%s:%d/v1 serves %s", given.host, given.port, models)
            await stop.wait()
        finally:
            await runner.cleanup()


@asynccontextmanager
async def running(
    pools: Pools, journal_folder: Path, store: str, ingress: str | None = None, environ: Mapping[str, str] = os.environ
) -> AsyncIterator[web.Application]:
    """A scheduler's application with everything behind it at work.

    Raises:
        ConfigurationError: its journal or store cannot be used.
    """
    archive, journal, metrics = Archive.open(store, environ), Journal(journal_folder), Metrics()
    upstream = Upstream(pools.limits, environ)
    announcer = Announcer(ingress, upstream)

    def changed(server: str, to: str) -> None:
        _log.warning("the breaker of %s is %s", server, to)
        metrics.changes.labels(server, to).inc()
        announcer.tell(BreakerChanged(server=server, state=to))  # type: ignore[arg-type]

    breaking = pools.breaker
    servers = {
        pool.name: [
            ModelServer(s, Breaker(s.name, breaking.failures, breaking.reset_s, changed, breaking.probe_s))
            for s in pool.servers
        ]
        for pool in pools.pools
    }
    every = [server for found in servers.values() for server in found]
    admission = Admission({pool.name: pool for pool in pools.pools}, servers, pools.limits, pools.affinity)
    calls = Calls(pools, admission, upstream, journal, archive, metrics)
    calls.recover()
    background = [journal.keep, lambda: watch(every, upstream, admission.pump), announcer.run, lambda: _sweeping(calls)]
    tasks = [asyncio.ensure_future(_kept_up(one)) for one in background]
    try:
        yield Service(pools, every, calls, admission, journal, metrics).app()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await calls.close()
        await upstream.close()
        journal.close()


async def _kept_up(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do what is done in the background, whatever it stumbles over."""
    while True:
        try:
            return await work()
        except Exception:
            _log.exception("what is done in the background failed; it is begun again")
            await asyncio.sleep(AGAIN_S)


async def _sweeping(calls: Calls) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        with contextlib.suppress(Exception):
            calls.ledger.sweep(datetime.now(UTC))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.scheduler", description="Serve models through one scheduler.")
    parser.add_argument("--config", type=Path, required=True, help="the pools' file (docs/models.md)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument(
        "--journal", type=Path, default=Path("journal"), help="a folder on a volume that is kept (default: %(default)s)"
    )
    parser.add_argument("--store", help="URL for final answers; default: TORPOR_STORE, else a folder in the journal's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
