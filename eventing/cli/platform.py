"""`torpor up`, `down` and `mail`: the local platform from outside."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from eventing.cli import documents, gateway, project
from eventing.cli.asking import counted, say
from eventing.cli.errors import AnotherPlatformError, CommandError, NotRunningError
from eventing.cli.stamping import unstamped
from eventing.errors import StoreError
from eventing.local import loops, preflight, processes, services
from eventing.local.config import Config

STOPPING = "stopping: deliveries under way have ten seconds, and half a minute more where a model is at work on a call"
STOP_S = 60.0  # that a platform has to stop
STORE_S = 30.0  # that a store may be away while a platform starts
SHOWN = 20  # files that were not read; the report names a hundred
QUICK_S = 1.0  # what takes no longer is told once it is done
_LAST: dict[str, tuple[str, float]] = {}


def progress(what: str, doing: str, share: float | None, quiet: bool = False) -> None:
    """A line for every new thing that is done; while a download goes on, one a second."""
    said, at = _LAST.get(what, ("", 0.0))
    same = doing.split(":")[0] == said.split(":")[0]
    if share is None or not same or time.monotonic() - at > 1.0:
        _LAST[what] = (doing, time.monotonic())
        tell(f"  {what:<9} {doing}" + (f"  {share:4.0%}" if share else ""), quiet)


def tell(line: str, quiet: bool = False) -> None:
    """A line, on standard error where `quiet`; on a terminal one that ends in a share gives way to the next."""
    stream = sys.stderr if quiet else sys.stdout
    live = stream.isatty()
    passing = live and line.endswith("%") and not line.endswith("100%")
    click.echo(("\r\x1b[2K" if live else "") + line, nl=not passing, err=quiet)
    stream.flush()


def put_documents(config: Config, folder: Path, quiet: bool = False, away_s: float = 0.0) -> str:
    """Put a folder's documents into the bucket; the collection's name.

    Args:
        quiet: tell on standard error.
        away_s: for how long a store that is away is asked again.
    """
    begun = time.monotonic()

    def told(done: str, many: int, of: int) -> None:
        if time.monotonic() - begun > QUICK_S:
            progress("sources", f"{done}: {many:,} of {of:,} files", many / of, quiet)

    collection = documents.collect(folder, told)
    _upload(collection, config, away_s, told)
    size = sum(map(len, collection.files.values()))
    many = counted(len(collection.files), "document")
    came_to = f"  sources   {many}, {math.ceil(size / 1e3)} kB, as collection {collection.name}"
    tell(came_to, quiet)
    for name, reason in list(collection.skipped.items())[:SHOWN]:
        click.echo(click.style(f"            not read: {name}: {reason}", fg="yellow"), err=quiet)
    if (more := len(collection.skipped) - SHOWN) > 0:
        click.echo(click.style(f"            and {more:,} more were not read", fg="yellow"), err=quiet)
    return collection.name


def _upload(collection: documents.Collection, config: Config, away_s: float, told: documents.Told) -> None:
    from eventing.store import Store

    until = time.monotonic() + away_s
    while True:
        try:
            asyncio.run(documents.upload(collection, Store.open(config.store), told))
            return
        except StoreError as error:
            if time.monotonic() >= until:
                raise
            progress("store", f"does not take the documents, and is asked again: {str(error)[:200]}", None)
            time.sleep(1.0)


def up(config: Config, sources: Path | None, detach: bool) -> None:
    """Start the platform; in the foreground until Ctrl-C, SIGTERM or `torpor down`."""
    refuse_another(config)
    if detach:
        start_detached(config, sources)
        return
    preflight.check(config)
    with preflight.claim(config):
        try:
            orderly_end()
            chosen = _with_documents(config, sources)
            services.start(chosen, progress, whole=False)
            loops.run(_serve(chosen))
        except KeyboardInterrupt:
            say("  platform  stopping")
        finally:
            # Whoever asks again to stop must not leave half of it behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            services.stop(config)
            say("  platform  down")
    # All is put away by now; threads of the Kafka client have kept an interpreter from its end.
    sys.stdout.flush()
    os._exit(0)


def orderly_end() -> None:
    """From now on SIGTERM ends this process as Ctrl-C does: by an exception, so that it can clean up."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


def _with_documents(config: Config, sources: Path | None) -> Config:
    folder = sources or config.project / "examples" / "post-quantum"
    if sources is None and not folder.is_dir():
        return config
    # A platform that comes back must not end what runs since a store is away for a moment.
    return replace(config, settings={**config.settings, "sources": put_documents(config, folder, away_s=STORE_S)})


async def _serve(config: Config) -> None:
    from eventing.local import platform

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    keeping = asyncio.create_task(services.keep(config, progress))
    try:
        await platform.run(config, progress, stop)
    finally:
        keeping.cancel()


def start_detached(config: Config, sources: Path | None) -> None:
    """Start the platform in a session of its own, and return once it is up; what interrupts the start ends it."""
    preflight.check(config)
    with preflight.starting(config):
        _start_detached(config, sources)


def _start_detached(config: Config, sources: Path | None) -> None:
    command = [sys.executable, "-m", "eventing.cli", "up", "--stamped"]
    command += ["--sources", str(sources.absolute())] if sources else []
    log = processes.log_of(config.state, "platform")
    log.parent.mkdir(parents=True, exist_ok=True)
    environ = {
        **os.environ,
        "TORPOR_PROJECT": str(config.project),
        "TORPOR_STATE": str(config.state),
        "PYTHONUNBUFFERED": "1",
    }
    orderly_end()
    with log.open("wb") as out:
        started = subprocess.Popen(
            command,
            env=environ,
            cwd=config.project,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        _pass_on(log, started, config)
    except BaseException:
        if started.poll() is None:
            tell("  platform  stopping")
            started.terminate()
            started.wait(STOP_S)
        raise


def _pass_on(log: Path, started: subprocess.Popen[bytes], config: Config) -> None:
    """Say what the starting platform says, until it is up or gone."""
    with log.open() as said:
        while True:
            if line := unstamped(said.readline()):
                tell(line.rstrip())
                if line.startswith("  platform  ready"):
                    return
            elif started.poll() is not None:
                rest = "\n".join(map(unstamped, said.read().strip().splitlines()))
                raise CommandError(f"the platform did not come up{': ' + rest if rest else f'; see {log}'}")
            else:
                time.sleep(0.05)


def down(config: Config) -> None:
    """Stop the platform, and whatever a killed one left behind."""
    running = preflight.running(config)
    if running is not None:
        processes.stop(running, STOP_S, lambda: tell(f"  platform  {STOPPING}"))
    left = services.stop(config)
    if running is None and not left:
        say("nothing runs from " + str(config.state))
        return
    say("stopped" + (f"; a killed platform had left behind: {', '.join(left)}" if running is None else ""))


def status(config: Config) -> dict[str, Any]:
    """What the running platform says of itself.

    Raises:
        NotRunningError: when it does not run.
        AnotherPlatformError: when that of another project runs in its place.
    """
    content = json.loads(gateway.call("GET", f"http://127.0.0.1:{config.ports.platform}/platform/ps", time_limit_s=15.0))
    if not isinstance(content, dict) or "deliveries" not in content:
        raise NotRunningError(f"port {config.ports.platform} is not the platform's")
    if content.get("project", str(config.project)) != str(config.project) and project.is_chosen():
        raise AnotherPlatformError(
            f"the platform on port {config.ports.platform} is that of {content['project']}, not of {config.project}: "
            "stop it by `torpor down` there, or set TORPOR_PORT here for ports of its own"
        )
    return content


def refuse_another(config: Config) -> None:
    """Go on unless another project's platform is where this one's should be.

    Raises:
        AnotherPlatformError: when it is.
    """
    try:
        status(config)
    except AnotherPlatformError:
        raise
    except CommandError:
        return


def mail(config: Config) -> None:
    """Print the mails that arrived, oldest first."""
    from eventing.local.mailbox import letters

    try:
        mailbox = Path(status(config)["mailbox"])
    except NotRunningError:
        mailbox = config.mailbox
    found = letters(mailbox)
    if not found:
        say(f"no mail has arrived (in {mailbox})")
    for letter in found:
        say(click.style(f"{letter.date}  to {letter.to}", bold=True) + f"\n{letter.subject}\n\n{letter.text.strip()}\n")
