"""Going on with an answer that broke off: the server is shown what was said already and says the rest. Pure.

vllm       continues the last assistant message (`continue_final_message`); under a schema its grammar would begin again,
           so such an answer is begun anew
llama.cpp  continues a last assistant message by itself, under a schema too, where it repeats what it was shown
openai     knows no such thing: begun anew
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inference.scheduler.config import Server
from inference.scheduler.wire import CHAT, Ask

_CONSTRAINTS = (
    "response_format",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
    "tools",
)


@dataclass(frozen=True)
class Going:
    """The body of the call that says the rest; `echo` is what the server will say before it."""

    body: dict[str, Any]
    echo: str = ""


def going_on(server: Server, ask: Ask, said: str, tokens: int) -> Going | None:
    """How the server goes on with what was `said` in so many tokens; None where it cannot."""
    left = ask.max_tokens - tokens
    constrained = any(ask.body.get(name) for name in _CONSTRAINTS)
    if server.kind == "openai" or left < 1 or (constrained and server.kind == "vllm") or ask.body.get("tools"):
        return None
    body = {name: value for name, value in ask.body.items() if name != "max_completion_tokens"} | {"max_tokens": left}
    if ask.path != CHAT:
        prompt = ask.body.get("prompt")
        return Going({**body, "prompt": prompt + said}) if isinstance(prompt, str) and not constrained else None
    body["messages"] = [*ask.body["messages"], {"role": "assistant", "content": said}]
    if server.kind == "vllm":
        return Going(body | {"continue_final_message": True, "add_generation_prompt": False})
    return Going(body, echo=said if constrained else "")


class Echo:
    """Takes a repeated beginning off a stream of texts."""

    def __init__(self, echo: str) -> None:
        self._left = echo

    def rest(self, text: str) -> str:
        """What of the next text is new."""
        common = min(len(self._left), len(text))
        if self._left[:common] == text[:common]:
            self._left = self._left[common:]
            return text[common:]
        self._left = ""  # it repeats nothing after all
        return text


def without(chunk: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The chunk with another text in its first choice."""
    choices = [dict(choice) for choice in chunk.get("choices") or ()]
    for choice in choices:
        if choice.get("index", 0) == 0:
            if "text" in choice:
                choice["text"] = text
            elif choice.get("delta"):
                choice["delta"] = {**choice["delta"], "content": text}
    return {**chunk, "choices": choices}
