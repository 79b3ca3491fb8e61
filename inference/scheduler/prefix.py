"""Going on with an answer that broke off: the server is shown what was said already and says the rest. Pure.

    vllm       continues the last assistant message when it is told to; under a schema its grammar would begin again, so such
               an answer is begun anew
    llama.cpp  does the same, under a schema too
    openai     knows no such thing: begun anew

What is continued is right but need not be, to the letter, what an unbroken answer would have been: servers round differently
when they read a token and when they say it.
"""

from __future__ import annotations

from typing import Any

from inference.scheduler.config import Server
from inference.scheduler.wire import CHAT, Ask

_CONSTRAINTS = ("response_format", "structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar")


def going_on(server: Server, ask: Ask, said: str, tokens: int) -> dict[str, Any] | None:
    """The body of the call that says the rest of what was `said` in so many tokens; None where the server cannot."""
    left = ask.max_tokens - tokens
    constrained = any(ask.body.get(name) for name in _CONSTRAINTS)
    several = ask.body.get("n") not in (None, 1)
    if server.kind == "openai" or left < 1 or several or ask.body.get("tools") or (constrained and server.kind == "vllm"):
        return None
    body = {name: value for name, value in ask.body.items() if name != "max_completion_tokens"} | {"max_tokens": left}
    if ask.path == CHAT:
        shown = [*ask.body["messages"], {"role": "assistant", "content": said}]
        return body | {"messages": shown, "continue_final_message": True, "add_generation_prompt": False}
    prompt = ask.body.get("prompt")
    return body | {"prompt": prompt + said} if isinstance(prompt, str) and not constrained else None
