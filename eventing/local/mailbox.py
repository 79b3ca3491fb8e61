"""A mailbox for development: an SMTP server that keeps every mail in a Maildir, and a reader of it."""

from __future__ import annotations

import email
import email.policy
import mailbox
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from ssl import SSLContext
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from eventing.local import ports
from eventing.local.errors import ServiceError


@dataclass(frozen=True)
class Letter:
    """A mail that arrived."""

    to: str
    sender: str
    subject: str
    date: str
    message_id: str
    text: str
    html: str
    path: Path


class _Keeper:
    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._maildir = mailbox.Maildir(folder, create=True)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        try:
            self._maildir.add(envelope.original_content)
        except OSError as error:  # a full disk, say: the sender may try again
            return f"452 could not be kept: {error.strerror}"
        return "250 Kept"


class Mailbox:
    """An SMTP server on loopback in a thread of its own; with `user` it asks for a login, with `tls` it offers STARTTLS."""

    def __init__(self, folder: Path, port: int, user: str = "", password: str = "", tls: SSLContext | None = None) -> None:
        def authenticated(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
            known = isinstance(data, LoginPassword) and (data.login, data.password) == (user.encode(), password.encode())
            return AuthResult(success=known, handled=False)

        options: dict[str, Any] = {"tls_context": tls, "require_starttls": bool(tls)} if tls else {}
        if user:
            check: Callable[..., AuthResult] = authenticated
            options |= {"authenticator": check, "auth_required": True, "auth_require_tls": bool(tls)}
        # Without a name of its own the server would look this machine's up, which can take seconds.
        options |= {"hostname": "127.0.0.1", "server_hostname": "localhost", "ident": "Torpor mailbox"}
        self._controller = Controller(_Keeper(folder), port=port, **options)
        self._port = port

    def start(self) -> None:
        """Listen.

        Raises:
            ServiceError: when the port is taken.
        """
        if problem := ports.conflict(self._port, "smtp"):
            raise ServiceError(f"the mailbox cannot be started: {problem}")
        try:
            self._controller.start()
        except OSError as error:
            raise ServiceError(f"the mailbox cannot listen on 127.0.0.1:{self._port}: {error.strerror}") from error

    def stop(self) -> None:
        self._controller.stop(no_assert=True)


def letters(folder: Path) -> list[Letter]:
    """The mails in a Maildir, oldest first; none where there is no Maildir."""
    paths = [path for part in ("new", "cur") for path in (folder / part).glob("*")]
    return [_letter(path) for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))]


def _letter(path: Path) -> Letter:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)

    def header(name: str) -> str:
        return str(message.get(name, ""))

    return Letter(
        to=header("To"),
        sender=header("From"),
        subject=header("Subject"),
        date=header("Date"),
        message_id=header("Message-ID"),
        text=_part(message, "plain"),
        html=_part(message, "html"),
        path=path,
    )


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # an unknown character set or encoding: shown as it came
        return str(part.get_payload())
