"""The mail: a text and an HTML part that say the same, the link or the reason.

The HTML is what mail clients show alike: a table for the layout, styles in the elements, colours that are told twice
(a client that darkens mails may change them; one that knows `prefers-color-scheme` takes ours), nothing fetched.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from eventing.editions import account
from functions.prose import clipped, plain
from schemas import ResearchComplete, ResearchFailed

SUBJECT = 120  # characters of the topic in a subject
_EARLIER = "Earlier mails and reports stay as they are."
_SANS = "font-family:-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_SERIF = "font-family:Georgia,'Times New Roman',serif"
_DARK = """
:root { color-scheme: light dark; supported-color-schemes: light dark; }
@media (prefers-color-scheme: dark) {
  .paper { background-color: #14171a !important; }
  .card { background-color: #1b1f23 !important; border-color: #31363c !important; }
  .ink { color: #e4e2dc !important; } .soft { color: #a2a8b0 !important; } .accent { color: #7fcdc4 !important; }
  .button { background-color: #7fcdc4 !important; } .button a { color: #10201e !important; }
}
@media (max-width: 480px) { .card { padding: 24px 20px !important; } h1 { font-size: 22px !important; } }
"""


@dataclass(frozen=True)
class Letter:
    """What a mail says, whichever part a client shows."""

    kicker: str
    topic: str
    lines: tuple[str, ...]
    notes: tuple[str, ...]
    link: str = ""


class UnwritableError(Exception):
    """No mail can be written to this address, however often it is tried."""

    status = 422


def letter(event: ResearchComplete | ResearchFailed, address: str, written: datetime, edition: int = 0) -> EmailMessage:
    """The mail about an edition of a request; the same for the same event and time."""
    said = _complete(event) if isinstance(event, ResearchComplete) else _failed(event)
    if edition:
        again = f"This is a new edition ({edition}): the request had ended, and was sent on. {_EARLIER}"
        said = replace(said, kicker=f"{said.kicker}, new edition", notes=(again, *said.notes))
    message = EmailMessage()
    _address(message, address)
    message["Subject"] = f"{said.kicker}: {said.topic}"
    message["Message-ID"] = f"<{account(event.request_id, edition)}@torpor>"
    message["Date"] = format_datetime(written)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(said), cte="quoted-printable")
    message.add_alternative(_html(said), subtype="html", cte="quoted-printable")
    return message


def _topic(event: ResearchComplete | ResearchFailed) -> str:
    return clipped(plain(event.topic), SUBJECT) or f"request {event.request_id}"


def _address(message: EmailMessage, address: str) -> None:
    try:
        message["To"] = address
    except (AttributeError, TypeError, ValueError, IndexError) as error:  # as the standard library's parser breaks on some
        raise UnwritableError(f"metadata.email {address!r} is no address that mail can be sent to") from error
    if not address.isprintable():
        raise UnwritableError(f"metadata.email {address!r} has a character that cannot be seen")


def _complete(event: ResearchComplete) -> Letter:
    statements = f"{event.claims} checked statement" + "s" * (event.claims != 1)
    made = f"{statements} on {event.parts} sub-question" + "s" * (event.parts != 1) + "."
    given_up = f" {event.parts_abandoned} of them could not be answered in full; the report says why."
    notes = (made + (given_up if event.parts_abandoned else ""), f"Request {event.request_id}")
    return Letter("Report", _topic(event), (plain(event.summary),), notes, event.metadata.link)


def _failed(event: ResearchFailed) -> Letter:
    lines = ("Your research request ended without a report.", f"Reason: {plain(event.reason)}")
    return Letter("No report", _topic(event), lines, (f"Request {event.request_id}",))


def _text(said: Letter) -> str:
    link = (f"Read the report: {said.link}",) if said.link else ()
    return "\n\n".join([f"{said.kicker}: {said.topic}", *said.lines, *link, *said.notes, "-- \nTorpor"]) + "\n"


def _html(said: Letter) -> str:
    paragraph = f"margin:0 0 16px;{_SERIF};font-size:17px;line-height:1.55;color:#1d2126;word-break:break-word"
    note = f"margin:0 0 6px;{_SANS};font-size:13px;line-height:1.5;color:#5a616b"
    kicker = (
        f"margin:0 0 12px;{_SANS};font-size:12px;font-weight:600;letter-spacing:1px;text-transform:uppercase;color:#1c5f5a"
    )
    title = f"margin:0 0 18px;{_SERIF};font-size:26px;line-height:1.25;font-weight:600;color:#1d2126;word-break:break-word"
    lines = "".join(f'<p class="ink" dir="auto" style="{paragraph}">{html.escape(line)}</p>\n' for line in said.lines)
    notes = "".join(f'<p class="soft" style="{note}">{html.escape(line)}</p>\n' for line in said.notes)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{said.kicker}: {html.escape(said.topic)}</title>
<style>{_DARK}</style>
</head>
<body class="paper" style="margin:0;padding:0;background-color:#fbfaf7">
<table role="presentation" class="paper" width="100%" cellpadding="0" cellspacing="0" border="0"
 bgcolor="#fbfaf7" style="background-color:#fbfaf7">
<tr><td align="center" style="padding:24px 12px">
<!--[if mso]><table role="presentation" width="600" align="center"><tr><td><![endif]-->
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"
 style="max-width:600px;table-layout:fixed">
<tr><td class="card" align="left" bgcolor="#ffffff"
 style="padding:36px 40px;background-color:#ffffff;border:1px solid #dfdbd2;border-radius:8px">
<p class="accent" style="{kicker}">{said.kicker}</p>
<h1 class="ink" dir="auto" style="{title}">{html.escape(said.topic)}</h1>
{lines}{_button(said.link)}{notes}</td></tr>
<tr><td align="left" style="padding:16px 40px"><p class="soft" style="{note}">Torpor</p></td></tr>
</table>
<!--[if mso]></td></tr></table><![endif]-->
</td></tr>
</table>
</body>
</html>
"""


def _button(link: str) -> str:
    """A link in a coloured cell, which is a button in every client; the address beneath for those who must copy it."""
    if not link:
        return ""
    address = html.escape(link)
    style = (
        f"display:inline-block;padding:13px 26px;{_SANS};font-size:16px;font-weight:600;color:#ffffff;text-decoration:none"
    )
    small = f"margin:0 0 22px;{_SANS};font-size:13px;line-height:1.5;color:#5a616b;word-break:break-all"
    return f"""<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:8px 0 14px"><tr>
<td class="button" bgcolor="#1c5f5a" style="background-color:#1c5f5a;border-radius:6px">
<a href="{address}" style="{style}">Read the report</a></td>
</tr></table>
<p class="soft" style="{small}"><a class="soft" href="{address}" style="color:#5a616b">{address}</a></p>
"""
