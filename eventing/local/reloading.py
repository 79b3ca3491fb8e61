"""Reload on save: a file that changes under functions/ or schemas/ lets the processes that run it end after their work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from eventing.checking import examine
from eventing.local import loading
from eventing.local.config import Config, Progress
from eventing.local.errors import ManifestError
from eventing.local.forkserver import ForkServer
from eventing.local.functions import Functions
from eventing.local.resources import Function

_QUIET_S = 0.2  # an editor's save is several events
_CHANGES = {"created", "modified", "moved", "deleted"}
_log = logging.getLogger(__name__)


@asynccontextmanager
async def reloading(
    config: Config, functions: Functions, forks: ForkServer, progress: Progress, problems: list[str]
) -> AsyncIterator[None]:
    """Watch the project's folders while the block goes on; `problems` is what is wrong with them since they were changed."""
    changed: asyncio.Queue[Path] = asyncio.Queue()
    observer, handler = Observer(), _Handler(changed, asyncio.get_running_loop())
    for room in ("functions", "schemas"):
        if (config.project / room).is_dir():
            observer.schedule(handler, str(config.project / room), recursive=True)
    if config.workflow:
        observer.schedule(handler, str(config.project), recursive=False)
    try:
        observer.start()
    except OSError as error:  # the system watches no more files
        _log.warning("changes of %s are not seen: %s; start the platform anew after each", config.project, error)
    reload = _Reload(config, functions, forks, progress, problems)
    following = asyncio.ensure_future(reload.follow(changed))
    try:
        yield
    finally:
        following.cancel()
        reload.examining.cancel()
        with contextlib.suppress(RuntimeError):
            observer.stop()
            await asyncio.to_thread(observer.join, 2)


class _Handler(FileSystemEventHandler):
    """Passes on the paths of what changed, from the observer's thread."""

    def __init__(self, changed: asyncio.Queue[Path], loop: asyncio.AbstractEventLoop) -> None:
        self._changed, self._loop = changed, loop

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in _CHANGES or event.is_directory:
            return
        for name in filter(None, (event.src_path, event.dest_path)):
            path = Path(str(name))
            if "__pycache__" not in path.parts and not path.name.startswith(".") and path.suffix in _SUFFIXES:
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    self._loop.call_soon_threadsafe(self._changed.put_nowait, path)


_SUFFIXES = {".py", ".yaml", ".yml", ".j2", ".json", ".md", ".txt", ".css", ".html", ".toml"}


class _Reload:
    def __init__(
        self, config: Config, functions: Functions, forks: ForkServer, progress: Progress, problems: list[str]
    ) -> None:
        self._config, self._functions, self._forks, self._progress = config, functions, forks, progress
        self._problems = problems
        self._begun_with = self._workflow()
        self.examining: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def follow(self, changed: asyncio.Queue[Path]) -> None:
        while True:
            paths = {await changed.get()}
            with contextlib.suppress(TimeoutError):
                while True:
                    paths.add(await asyncio.wait_for(changed.get(), _QUIET_S))
            try:
                self._take(paths)
            except Exception:
                _log.exception("a change of %s was not taken up", ", ".join(map(str, paths)))
            self.examining.cancel()  # what it finds is outdated
            self.examining = asyncio.ensure_future(self._examine())

    def _take(self, paths: set[Path]) -> None:
        near = sorted(str(path.relative_to(self._config.project)) for path in paths)
        if self._config.workflow in paths and (outdated := self._outdated()):
            self._say(outdated[0])
        if names := sorted(self._affected(near)):
            fresh = self._fresh()
            self._forks.renew()
            for name in names:
                self._functions[name].renew(fresh.get(name))
            self._say(f"{', '.join(near)} changed: {', '.join(names)} from the next event on")

    async def _examine(self) -> None:
        """Say what is wrong; a change that comes meanwhile is taken up at once."""
        found = await asyncio.to_thread(examine, self._config.project, self._config.workflow)
        for problem in found.problems:
            _log.error("%s", problem)
        self._problems[:] = [*map(str, found.problems), *self._outdated()]

    def _workflow(self) -> bytes | None:
        try:
            return self._config.workflow.read_bytes() if self._config.workflow else None
        except OSError:
            return None

    def _outdated(self) -> list[str]:
        """What keeps a workflow file that is no more what it was from being followed."""
        if self._config.workflow is None or self._workflow() == self._begun_with:
            return []
        name = self._config.workflow.name
        return [f"{name} changed: the platform goes by what it was; `torpor down` and `torpor up` take it up"]

    def _affected(self, near: list[str]) -> set[str]:
        """The functions that run one of the files; what lies in no function's folder is run by all."""
        found: set[str] = set()
        for parts in (Path(name).parts for name in near):
            own = parts[1].replace("_", "-") if parts[0] == "functions" and len(parts) > 2 else ""
            if own in self._functions:
                found.add(own)
            elif parts[0] in ("functions", "schemas"):
                found |= {scaled.function.name for scaled in self._functions.all()}
        return found

    def _fresh(self) -> dict[str, Function]:
        try:
            return loading.functions_of(self._config.project / "functions", self._config.brought)
        except ManifestError as error:
            _log.error("%s", error)
            return {}

    def _say(self, what: str) -> None:
        self._progress("reload", what, None)
