"""The mail: a text and an HTML part that say the same, the link or the reason."""

from __future__ import annotations

import html
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from functions.prose import clipped, plain
from schemas import ResearchComplete, ResearchFailed

SUBJECT = 120  # characters of the topic in a subject
_STYLE = "font:16px/1.5 Georgia,'Times New Roman',serif;max-width:36em;margin:2em auto;padding:0 1em;color:#22252b"
_LINK = "display:inline-block;padding:.6em 1.2em;border-radius:.4em;background:#1f5f5b;color:#ffffff;text-decoration:none"


def letter(event: ResearchComplete | ResearchFailed, address: str, written: datetime) -> EmailMessage:
    """The mail about a request; the same for the same event and time."""
    done = isinstance(event, ResearchComplete)
    topic = clipped(plain(event.topic), SUBJECT) or f"request {event.request_id}"
    message = EmailMessage()
    message["To"] = address
    message["Subject"] = f"{'Report' if done else 'No report'}: {topic}"
    message["Message-ID"] = f"<{event.request_id}@torpor>"
    message["Date"] = format_datetime(written)
    message["Auto-Submitted"] = "auto-generated"
    lines = _complete(event) if isinstance(event, ResearchComplete) else _failed(event)
    link = event.metadata.link if isinstance(event, ResearchComplete) else ""
    message.set_content(_text(topic, lines, link), cte="quoted-printable")
    message.add_alternative(_html(topic, lines, link), subtype="html", cte="quoted-printable")
    return message


def _complete(event: ResearchComplete) -> list[str]:
    made = f"{event.claims} checked {'statement' if event.claims == 1 else 'statements'} on {event.parts} sub-questions."
    made = made.replace("1 sub-questions", "1 sub-question")
    given_up = f" {event.parts_abandoned} of them could not be answered in full; the report says why."
    return [plain(event.summary), made + (given_up if event.parts_abandoned else "")]


def _failed(event: ResearchFailed) -> list[str]:
    return [
        "Your research request ended without a report.",
        f"Reason: {plain(event.reason)}",
        f"Request: {event.request_id}",
    ]


def _text(topic: str, lines: list[str], link: str) -> str:
    said = [topic, *lines, *([f"The report: {link}"] if link else []), "-- \nTorpor"]
    return "\n\n".join(said) + "\n"


def _html(topic: str, lines: list[str], link: str) -> str:
    paragraphs = "".join(f"<p>{html.escape(line)}</p>\n" for line in lines)
    button = f'<p><a href="{html.escape(link)}" style="{_LINK}">Read the report</a></p>\n' if link else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>Torpor</title></head>\n'
        f'<body><div style="{_STYLE}">\n<h1 style="font-size:1.4em;line-height:1.25">{html.escape(topic)}</h1>\n'
        f"{paragraphs}{button}</div></body>\n</html>\n"
    )
