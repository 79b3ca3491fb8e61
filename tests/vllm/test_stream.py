"""What vLLM streams, constrains and continues: the scheduler's ground to stand on."""

import json

from tests.vllm.server import CONTEXT, MODEL, VllmServer

SAID = {"role": "user", "content": "Write three sentences about rivers."}
ASKED = {"model": MODEL, "messages": [SAID], "temperature": 0}
SHAPE = {
    "type": "object",
    "properties": {
        "river": {"type": "string", "enum": ["Rhine", "Nile"]},
        "words": {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 3, "maxItems": 3},
    },
    "required": ["river", "words"],
    "additionalProperties": False,
}
CONTINUED = {"continue_final_message": True, "add_generation_prompt": False}


def begun(prefix: str) -> list[dict[str, str]]:
    return [SAID, {"role": "assistant", "content": prefix}]


def constrained(schema: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "shape", "schema": schema, "strict": True}}


def test_a_stream_is_the_whole_answer_and_ends_with_its_usage(vllm_server: VllmServer) -> None:
    _, whole = vllm_server.post("/v1/chat/completions", {**ASKED, "max_tokens": 24})
    with vllm_server.streamed({**ASKED, "max_tokens": 24, "stream_options": {"include_usage": True}}) as chunks:
        seen = list(chunks)
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in seen[:-1]) == text(whole)
    assert seen[-2]["choices"][0]["finish_reason"] == "length"
    assert not seen[-1]["choices"]
    for tokens in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert seen[-1]["usage"][tokens] == whole["usage"][tokens]


def test_a_stream_can_count_as_it_goes(vllm_server: VllmServer) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    with vllm_server.streamed({**ASKED, "max_tokens": 8, "stream_options": options, "return_token_ids": True}) as chunks:
        first, *rest = chunks
    counts = [chunk["usage"]["completion_tokens"] for chunk in rest]
    assert counts == sorted(counts)
    assert counts[-1] == 8
    assert len(first["prompt_token_ids"]) == first["usage"]["prompt_tokens"]
    assert sum(len(choice["token_ids"]) for chunk in rest for choice in chunk["choices"]) == 8


def test_a_schema_holds_the_stream_to_its_form(vllm_server: VllmServer) -> None:
    with vllm_server.streamed({**ASKED, "max_tokens": 120, "response_format": constrained(SHAPE)}) as chunks:
        answer = json.loads("".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]))
    assert set(answer) == {"river", "words"}
    assert answer["river"] in ("Rhine", "Nile")
    assert len(answer["words"]) == 3


def test_a_broken_answer_goes_on_from_its_prefix_and_only_the_rest_is_bought(vllm_server: VllmServer) -> None:
    _, whole = vllm_server.post("/v1/chat/completions", {**ASKED, "max_tokens": 24, "return_token_ids": True})
    kept = whole["choices"][0]["token_ids"][:10]
    prefix = vllm_server.post("/detokenize", {"model": MODEL, "tokens": kept})[1]["prompt"]
    given = {**CONTINUED, "messages": begun(prefix)}
    _, counted = vllm_server.post("/tokenize", {"model": MODEL, **given})
    status, rest = vllm_server.post("/v1/chat/completions", {**ASKED, **given, "max_tokens": 14})
    assert status == 200
    assert rest["usage"]["prompt_tokens"] == counted["count"] > whole["usage"]["prompt_tokens"]
    assert 0 < rest["usage"]["completion_tokens"] <= 14
    assert not text(rest).startswith(prefix)  # not told again; whether the words are the same is up to rounding


def test_under_a_schema_a_prefix_cannot_go_on_since_the_grammar_starts_anew(vllm_server: VllmServer) -> None:
    given = {**CONTINUED, "messages": begun('{"river": "Rh'), "response_format": constrained(SHAPE)}
    _, rest = vllm_server.post("/v1/chat/completions", {**ASKED, **given, "max_tokens": 120})
    assert text(rest).startswith("{")


def test_under_a_schema_the_rest_goes_on_when_the_rest_of_the_grammar_is_given(vllm_server: VllmServer) -> None:
    prefix = '{"river": "Rh'
    grammar = {"regex": r'ine", "words": \["[a-z]{1,12}", "[a-z]{1,12}", "[a-z]{1,12}"\]\}'}
    given = {**CONTINUED, "messages": begun(prefix), "structured_outputs": grammar}
    _, rest = vllm_server.post("/v1/chat/completions", {**ASKED, **given, "max_tokens": 120})
    assert json.loads(prefix + text(rest))["river"] == "Rhine"


def test_an_unknown_model_is_404(vllm_server: VllmServer) -> None:
    status, answer = vllm_server.post("/v1/chat/completions", {**ASKED, "model": "nobody"})
    assert (status, answer["error"]["type"], answer["error"]["param"]) == (404, "NotFoundError", "model")


def test_more_tokens_than_the_context_has_are_refused(vllm_server: VllmServer) -> None:
    status, answer = vllm_server.post("/v1/chat/completions", {**ASKED, "max_tokens": CONTEXT + 1})
    assert (status, answer["error"]["param"]) == (400, "max_tokens")


def test_a_schema_that_it_cannot_keep_is_refused_also_inside_a_stream(vllm_server: VllmServer) -> None:
    body = {**ASKED, "max_tokens": 8, "response_format": constrained({"type": "nonsense"})}
    status, answer = vllm_server.post("/v1/chat/completions", body)
    assert (status, answer["error"]["code"]) == (400, 400)
    with vllm_server.streamed(body) as chunks:  # the status is 200, since headers went out first
        assert [chunk["error"]["code"] for chunk in chunks] == [400]


def text(answer: dict) -> str:
    return answer["choices"][0]["message"]["content"]
