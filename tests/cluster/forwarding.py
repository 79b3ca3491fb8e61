"""A port that pods reach, from which all goes to a port on loopback: the way from a cluster to what runs here."""

from __future__ import annotations

import asyncio
import contextlib
import threading

_CHUNK = 64 * 1024


class Forwarder:
    """Listens on one address, on free ports, on a thread of its own."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def to(self, port: int) -> int:
        """A new port that leads to this one of loopback."""

        async def listen() -> int:
            server = await asyncio.start_server(lambda r, w: _joined(r, w, port), self.host, 0)
            number: int = server.sockets[0].getsockname()[1]
            return number

        return asyncio.run_coroutine_threadsafe(listen(), self._loop).result(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


async def _joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.transport.abort()  # as nobody's port does
        return
    await asyncio.gather(_passed(reader, inner_writer), _passed(inner_reader, writer))


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
