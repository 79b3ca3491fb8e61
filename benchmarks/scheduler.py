"""`python -m benchmarks.scheduler [--server stub|llama|vllm|URL] [--peer]`: what the scheduler costs, beside going straight.

The same prompts, streamed, at 1, 4, 8 and 32 calls at once; the ways take turns, so that all of them see the same machine.
`--peer` adds LiteLLM's proxy, installed into an environment of its own under build/. `--affinity` counts the prompt tokens
that two servers had to read, with and without prefix affinity.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import urllib3

from benchmarks import bare
from eventing.local import downloads
from eventing.local.config import Config

AT_ONCE = (1, 4, 8, 32)
TOKENS = 32
LITELLM = "litellm[proxy]==1.80.0"  # the last whose proxy installs from packages alone
ROOT = bare.HERE.parent
_HTTP = urllib3.PoolManager(retries=False, timeout=5.0)


@contextlib.contextmanager
def process(command: list[str], port: int, path: str, log: Path) -> Iterator[str]:
    """A server as a process, once it answers on `path`; its base URL."""
    with log.open("wb") as out:
        started = subprocess.Popen(command, stdout=out, stderr=out, env=bare.environment(), cwd=ROOT)
    try:
        end = time.monotonic() + 120
        while True:
            with contextlib.suppress(urllib3.exceptions.HTTPError):
                if _HTTP.request("GET", f"http://127.0.0.1:{port}{path}").status == 200:
                    break
            if started.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command} did not come up:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        started.terminate()
        started.wait(20)


@contextlib.contextmanager
def model(kind: str, folder: Path, name: str = "model") -> Iterator[str]:
    """The model server of a kind: a stub of 32 slots with 400 tokens a second each, llama.cpp, vLLM, or one that runs."""
    port = bare.free_port()
    if kind == "vllm":
        with vllm(port, folder) as url:
            yield url
        return
    if kind.startswith("http"):
        yield kind
        return
    if kind == "stub":
        command = [sys.executable, "-m", "inference.testing", "--tokens-per-second", "400", "--slots", "32"]
    else:
        gguf = downloads.model(Config(folder, folder, folder), lambda *_: None)
        command = [sys.executable, "-m", "inference.embedded", "--model", str(gguf), "--slots", "8", "--context", "1024"]
    with process([*command, "--port", str(port)], port, "/health", folder / f"{name}.log") as url:
        yield url


@contextlib.contextmanager
def vllm(port: int, folder: Path) -> Iterator[str]:
    """A real vLLM on this machine's CPUs, as `make test-vllm` installs it."""
    from tests.vllm.server import VllmServer, converted

    server = VllmServer(
        converted(downloads.model(Config(folder, folder, folder), lambda *_: None)), port, folder / "vllm.log"
    )
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@contextlib.contextmanager
def scheduler(servers: list[dict[str, Any]], named: str, folder: Path, **settings: Any) -> Iterator[str]:
    """The scheduler before these servers."""
    port, work = bare.free_port(), Path(tempfile.mkdtemp(dir=folder))
    config = {"pools": [{"name": "p", "models": [named], "servers": servers}], **settings}
    (work / "pools.yaml").write_text(json.dumps(config))
    command = [sys.executable, "-m", "inference.scheduler", "--config", str(work / "pools.yaml"), "--port", str(port)]
    with process([*command, "--journal", str(work / "journal")], port, "/health", work / "log") as url:
        yield url


@contextlib.contextmanager
def litellm(server: str, named: str, folder: Path) -> Iterator[str]:
    """LiteLLM's proxy before the same server."""
    home = ROOT / "build" / "litellm"
    if not (home / "bin" / "litellm").exists():
        print(f"installing {LITELLM} into build/litellm", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([home / "bin" / "python", "-m", "pip", "install", "--quiet", LITELLM], check=True)
    port = bare.free_port()
    parameters = {"model": f"openai/{named}", "api_base": server, "api_key": "none"}
    config = {"model_list": [{"model_name": named, "litellm_params": parameters}], "litellm_settings": {"telemetry": False}}
    (folder / "litellm.yaml").write_text(json.dumps(config))
    command = [
        str(home / "bin" / "litellm"),
        "--config",
        str(folder / "litellm.yaml"),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    with process(command, port, "/health/liveliness", folder / "litellm.log") as url:
        yield url


async def load(url: str, named: str, calls: int, at_once: int, salt: str) -> tuple[float, list[float], int]:
    """Seconds for so many calls, their times to the first token, and the tokens they gave."""
    room, firsts, tokens = asyncio.Semaphore(at_once), list[float](), 0
    timeout = aiohttp.ClientTimeout(total=600)

    async def one(http: aiohttp.ClientSession, number: int) -> None:
        nonlocal tokens
        prompt = f"{salt}{number}: write a long story about a river, and name its towns."
        body = {"model": named, "messages": [{"role": "user", "content": prompt}], "max_tokens": TOKENS, "stream": True}
        async with room:
            begun, first = time.perf_counter(), 0.0
            async with http.post(f"{url}/chat/completions", json=body) as answer:
                async for line in answer.content:
                    if line.startswith(b"data: {") and b'"content":"' in line.replace(b'": "', b'":"'):
                        tokens += 1
                        first = first or time.perf_counter() - begun
            firsts.append(first)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout) as http:
        begun = time.perf_counter()
        await asyncio.gather(*(one(http, number) for number in range(calls)))
        return time.perf_counter() - begun, firsts, tokens


def compared(ways: dict[str, str], named: str, rounds: int) -> list[dict[str, Any]]:
    """A row for each load and way: tokens a second, and time to the first token."""
    rows = []
    for url in ways.values():
        asyncio.run(load(url, named, 4, 4, "warm"))
    for at_once in AT_ONCE:
        found: dict[str, tuple[list[float], list[float]]] = {way: ([], []) for way in ways}
        for number in range(rounds):
            for place, (way, url) in enumerate(ways.items()):  # no prompt is asked twice: a cache would answer
                salt = f"{at_once:02}{number}{place}"
                seconds, firsts, tokens = asyncio.run(load(url, named, max(8, 2 * at_once), at_once, salt))
                found[way][0].append(tokens / seconds)
                found[way][1].extend(firsts)
        straight = found["straight"]
        for way, (rates, firsts) in found.items():
            ordered, base = sorted(firsts), sorted(straight[1])
            rows.append(
                {
                    "at once": at_once,
                    "way": way,
                    "tokens/s": round(median(rates), 1),
                    "ratio": round(median(r / s for r, s in zip(rates, straight[0], strict=True)), 3),
                    "first token ms p50": round(median(ordered) * 1000, 1),
                    "p99": round(ordered[int(len(ordered) * 0.99)] * 1000, 1),
                    "added ms p50": round((median(ordered) - median(base)) * 1000, 1),
                }
            )
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    return rows


def read_tokens(folder: Path, affinity: bool, groups: int = 6, each: int = 6) -> int:
    """Prompt tokens that two servers read for groups of prompts with a long common beginning."""
    with model("llama", folder, "first") as first, model("llama", folder, "second") as second:
        entries = [
            {"name": name, "url": url, "kind": "llama.cpp", "slots": 4}
            for name, url in (("first", first), ("second", second))
        ]
        with scheduler(entries, "smollm2-135m-instruct", folder, affinity=affinity) as url:
            asyncio.run(_grouped(url, groups, each))
        pages = [_HTTP.request("GET", f"{at.removesuffix('/v1')}/metrics").data.decode() for at in (first, second)]
    lines = [line for page in pages for line in page.splitlines() if line.startswith("llamacpp:prompt_tokens_total ")]
    return round(sum(float(line.split()[1]) for line in lines))


async def _grouped(url: str, groups: int, each: int) -> None:
    beginnings = [f"Group {group}. " + f"The town number {group} lies at the river. " * 40 for group in range(groups)]

    async def ask(http: aiohttp.ClientSession, group: int, number: int) -> None:
        said = [{"role": "user", "content": f"{beginnings[group]} Question {number}?"}]
        body = {"model": "default", "messages": said, "max_tokens": 2}
        async with http.post(f"{url}/chat/completions", json=body) as answer:
            await answer.read()

    async with aiohttp.ClientSession() as http:
        for number in range(each):
            for pair in range(0, groups, 2):
                await asyncio.gather(*(ask(http, group, number) for group in (pair, pair + 1)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scheduler", description="What the scheduler costs.")
    parser.add_argument("--server", default="stub", help="stub, llama, vllm or a URL (default: %(default)s)")
    parser.add_argument("--model", help="the model's name there")
    parser.add_argument("--kind", default="vllm", help="of a server that runs: vllm, llama.cpp, openai")
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer", action="store_true", help="LiteLLM's proxy as well")
    parser.add_argument("--affinity", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as name:
        folder = Path(name)
        if given.affinity:
            for on in (True, False):
                print(f"prompt tokens read by two servers, affinity {on}: {read_tokens(folder, on)}", flush=True)
            return
        named = given.model or ("fake-model" if given.server == "stub" else "smollm2-135m-instruct")
        kind = {"stub": "openai", "llama": "llama.cpp"}.get(given.server, given.kind)
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(model(given.server, folder))
            entry = {"name": "one", "url": server, "kind": kind, "slots": given.slots}
            ways = {"straight": server, "scheduler": stack.enter_context(scheduler([entry], named, folder))}
            if given.peer:
                ways["litellm"] = stack.enter_context(litellm(server, named, folder))
            compared(ways, named, given.rounds)


if __name__ == "__main__":
    main()
