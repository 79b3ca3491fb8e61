"""The converted model is the model of the GGUF file: it counts and predicts as llama.cpp does with the original."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventing.local.asking import ask
from tests.inference.conftest import embedded
from tests.vllm.server import MODEL, VllmServer

TEXTS = ["Rivers are vast.", "Zürich: 1234 km², “naïve” 漢字", '{"a": [1, 22, "b"]}\n\n\tend', "def f(x):\n    return x"]
PROMPTS = [
    "The capital of France is",
    "Monday, Tuesday, Wednesday, Thursday,",
    "1 2 3 4 5 6 7 8 9 10 1",
    "The opposite of hot is",
]


@pytest.fixture(scope="module")
def original(gguf: Path) -> Iterator[str]:
    with embedded(gguf, "--slots", "1") as port:
        yield f"http://127.0.0.1:{port}"


def posted(url: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = ask(url, 60, "POST", json=body)
    assert reply.status == 200, reply.data
    answer: dict[str, Any] = reply.json()
    return answer


@pytest.mark.parametrize("text", TEXTS)
def test_text_becomes_the_same_tokens(vllm_server: VllmServer, original: str, text: str) -> None:
    _, found = vllm_server.post("/tokenize", {"model": MODEL, "prompt": text, "add_special_tokens": False})
    assert found["tokens"] == posted(f"{original}/tokenize", {"content": text})["tokens"]
    _, back = vllm_server.post("/detokenize", {"model": MODEL, "tokens": found["tokens"]})
    assert back["prompt"] == text


def test_a_conversation_becomes_the_same_prompt(vllm_server: VllmServer, original: str) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 12?"}]
    _, found = vllm_server.post("/tokenize", {"model": MODEL, "messages": said})
    prompt = posted(f"{original}/apply-template", {"messages": said})["prompt"]
    with_controls = {"content": prompt, "parse_special": True}
    assert found["tokens"] == posted(f"{original}/tokenize", with_controls)["tokens"]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_next_token_is_the_same(vllm_server: VllmServer, original: str, prompt: str) -> None:
    body = {"model": MODEL, "prompt": prompt, "max_tokens": 1, "temperature": 0}
    _, found = vllm_server.post("/v1/completions", body)
    assert found["choices"][0]["text"] == posted(f"{original}/v1/completions", body)["choices"][0]["text"]
