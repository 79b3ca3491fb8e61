"""Fakes for tests, benchmarks and demonstrations: a model that is a function, and an HTTP server that is a script.

FakeModel(["a text", {"questions": ["..."]}, ModelUnavailableError("down")])     # what ctx.llm is, without HTTP
with FakeServer() as server:                                                     # OpenAI's API, over real HTTP
    server.script += [Scripted(status=429), Scripted(text="a text", delay_s=0.1)]
python -m inference.testing --port 8090 --tokens-per-second 80 --slots 4         # the same as a process
curl -X PUT localhost:8090/otherwise -d '{"status": 500}'                            # from now on, until told otherwise
"""

from inference.testing.model import Asked, FakeModel
from inference.testing.server import Call, FakeServer, Scripted

__all__ = ["Asked", "Call", "FakeModel", "FakeServer", "Scripted"]
