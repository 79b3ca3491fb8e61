"""A way to Kafka that answers in the coordinator's place, as one that has just come back."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_OFFSET_FETCH, _VERSION, _NOT_COORDINATOR = 9, 9, 16


class Proxy:
    """Forwards to a broker on 127.0.0.1, and lets clients take itself for it; `refusals` OffsetFetch requests are refused."""

    def __init__(self, broker: str, refusals: int = 0) -> None:
        self._port = int(broker.rpartition(":")[2])
        self.refusals, self.refused = refusals, 0
        self.address = ""
        self._pumps: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._own = int(server.sockets[0].getsockname()[1])
        self.address = f"127.0.0.1:{self._own}"
        try:
            yield self
        finally:
            server.close()
            for pump in self._pumps:
                pump.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._port)
        for pump in (self._requests(reader, writer, to_broker), self._answers(from_broker, writer)):
            task = asyncio.ensure_future(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _requests(
        self, client: asyncio.StreamReader, back: asyncio.StreamWriter, broker: asyncio.StreamWriter
    ) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                request = await _frame(client)
                api, version, correlation = struct.unpack(">hhi", request[:8])
                if api == _OFFSET_FETCH and self.refused < self.refusals:
                    assert version == _VERSION, f"OffsetFetch has version {version} now: write its answer anew"
                    self.refused += 1
                    back.write(_framed(_refusal(correlation, request)))
                else:
                    broker.write(_framed(request))
        broker.close()

    async def _answers(self, broker: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        host = b"127.0.0.1"
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                answer = await _frame(broker)
                named = answer.replace(host + struct.pack(">i", self._port), host + struct.pack(">i", self._own))
                client.write(_framed(named))
        client.close()


async def _frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4)))


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


def _refusal(correlation: int, request: bytes) -> bytes:
    """OffsetFetchResponse v9 for the one group that is asked for: an error of the whole, and no partition."""
    client_id = int.from_bytes(request[8:10])
    start = 10 + client_id + 2  # after the header's tags and the array's length
    group = request[start : start + request[start]]  # a compact string, its length plus one in front
    return struct.pack(">ibi", correlation, 0, 0) + b"\x02" + group + b"\x01" + struct.pack(">hbb", _NOT_COORDINATOR, 0, 0)
