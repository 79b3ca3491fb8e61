"""A small local model server: `python -m inference.embedded --model FILE.gguf --port 8090`.

llama.cpp with its own OpenAI-compatible HTTP server, in a process of its own, for machines without a GPU or an
account. It answers /v1/chat/completions, /v1/models, /health and /metrics until it is told to stop.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from inference.errors import ConfigurationError, InferenceError

ALIAS = "smollm2-135m-instruct"


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code is 0 then, and 2 when it could not start."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        check(options.model, options.host, options.port)
        _server = start(options)  # it serves for as long as it is referred to
    except InferenceError as error:
        logging.error("model server: %s", error)
        return 2
    logging.info(
        "model server: %s on http://%s:%d/v1 (%d slots of %d tokens, %d threads)",
        options.alias, options.host, options.port, options.slots, options.context, options.threads,
    )  # fmt: skip
    stop.wait()
    logging.shutdown()
    os._exit(0)  # llama.cpp's own stop waits for generations that run; there is nothing to save, and callers ask again


def check(model: Path, host: str, port: int) -> None:
    """Say what is wrong before the model is loaded: the server itself would not, or would share the port.

    Raises:
        ConfigurationError: the file is missing or no GGUF, or the address cannot be listened on.
    """
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConfigurationError(f"cannot read the model {model}: {error.strerror}") from error
    if magic != b"GGUF":
        raise ConfigurationError(f"{model} is no model: a GGUF file starts with the bytes GGUF, this one with {magic!r}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}; name a free port by --port") from error


def start(options: argparse.Namespace) -> Any:
    """Load the model and serve it; returns once it answers."""
    try:
        import xllamacpp
    except ImportError as error:
        raise ConfigurationError(f"the package xllamacpp cannot be loaded: {error}") from error

    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.alias}
    params.hostnames, params.port = [options.host], options.port
    params.n_parallel, params.n_ctx = options.slots, options.context * options.slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_threads_http = max(16, 4 * options.slots)
    params.cache_ram_mib = options.cache
    params.endpoint_metrics, params.ui, params.verbosity = True, False, 0
    try:
        return xllamacpp.Server(params)
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(f"llama.cpp cannot serve {options.model}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.embedded", description="Serve a small model on this machine.")
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--alias", default=ALIAS, help="the model's name for callers (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--slots", type=int, default=4, help="calls at once (default: %(default)s)")
    parser.add_argument("--context", type=int, default=4096, help="tokens of one call (default: %(default)s)")
    # llama.cpp's threads wait for each other busily: one core too many makes it several times slower beside other work
    spare = max(1, (os.cpu_count() or 2) - 1)
    parser.add_argument("--threads", type=int, default=spare, help="default: all cores but one (%(default)s)")
    parser.add_argument("--cache", type=int, default=64, help="MiB for prompts seen before (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
