"""A question to a server goes out whatever became of the connection that the one before had."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from eventing.local.asking import UnansweredError, ask

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def dawdler() -> Iterator[str]:
    """A server that answers one question a connection without saying so, and closes it a while later."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection:
                if connection.recv(65536):
                    connection.sendall(_ANSWER)
                    time.sleep(0.3)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_a_second_question_does_not_go_to_a_connection_that_is_about_to_close(dawdler: str) -> None:
    assert [ask(dawdler).data for _ in range(3)] == [b"ok"] * 3


def test_nobody_there_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UnansweredError):
        ask(f"http://127.0.0.1:{port}/")
