"""Mail: an effect that cannot be repeated unseen, so it is claimed before and marked after.

    marked?  -> nothing to do
    claim the next number, if absent -> marked meanwhile? -> nothing to do
    hand it in -> mark -> 204

A claim without its mark is taken over once its lease is over; one that is returned, at once. So a mail may go out twice,
with the same Message-ID, and only where
  - its sender dies, or the store stays away, between the server's acceptance and the mark;
  - the server accepts it and the answer is lost on its way (RFC 1047): the claim that is returned says `unanswered`;
  - clocks differ, or saying the mail takes its sender, by more than a third of the lease: the last thing that a sender looks
    at before it says the mail is whether two thirds of its lease are over, and it sends nothing then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import smtplib
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any, TypeVar
from urllib.parse import unquote, urlparse

from eventing import telemetry
from eventing.agent import StepKey
from eventing.editions import suffix
from eventing.errors import ConfigurationError, EventingError, NotNowError, StoreError
from eventing.step import Objects

LEASE = timedelta(seconds=90)
USED = LEASE * 2 / 3  # of a lease, after which nothing more is sent under it
TIME_LIMIT_S = 20.0
MARK_AGAIN_S = (0.5, 1.0, 2.0, 4.0)
HELD_AGAIN_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)  # looks at a claim that another process holds, before it is left to it

T = TypeVar("T")


class MailError(NotNowError):
    """The mail server did not take the mail; it is tried again with the event."""

    title = "Mail server unavailable"

    def __init__(self, told: str, unanswered: bool = False) -> None:
        self.unanswered = unanswered  # the mail was said, or a part of it, and nobody knows whether it was taken
        super().__init__(told)


class ClaimHeldError(MailError):
    """Another process is sending the mail at this moment."""


class MailRefusedError(EventingError):
    """The mail server will never take this mail."""

    status, title = 422, "Mail refused"


@dataclass(frozen=True)
class Server:
    """Where mail is handed in; the password never shows in its repr."""

    host: str
    port: int
    security: str = ""  # "", "starttls" or "tls"
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Server:
        """A server from `smtp://[user:password@]host[:port]`, also `smtp+starttls://` and `smtps://`.

        Raises:
            ConfigurationError: when it is none of these; the message never holds the password.
        """
        parsed = urlparse(url)
        kinds = {"smtp": ("", 25), "smtp+starttls": ("starttls", 587), "smtps": ("tls", 465)}
        if parsed.scheme not in kinds or not parsed.hostname:
            raise ConfigurationError(
                "TORPOR_SMTP must be smtp://, smtp+starttls:// or smtps:// with [user:password@]host[:port]"
            )
        security, port = kinds[parsed.scheme]
        user, password = unquote(parsed.username or ""), unquote(parsed.password or "")
        return cls(parsed.hostname, parsed.port or port, security, user, password)

    def deliver(self, message: EmailMessage, check: Callable[[], None] = lambda: None) -> None:
        """Hand one mail in; `check` is asked last, when only the mail is left to be said, and may raise.

        Raises:
            MailError: when the server cannot be reached, refuses for now, or gave no answer.
            MailRefusedError: when it refuses this mail for good.
        """
        said = False
        try:
            with self._connected() as connection:
                check()
                said = True
                connection.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            if _for_good(error):
                raise MailRefusedError(f"{self.host}:{self.port} refused the mail: {error}") from error
            unanswered = said and not isinstance(error, smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused)
            told = f"{self.host}:{self.port} did not take the mail: {type(error).__name__}: {error}"
            raise MailError(told, unanswered) from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        tls = ssl.create_default_context()
        connection: smtplib.SMTP
        if self.security == "tls":
            connection = smtplib.SMTP_SSL(self.host, self.port, timeout=TIME_LIMIT_S, context=tls)
        else:
            connection = smtplib.SMTP(self.host, self.port, timeout=TIME_LIMIT_S)
        try:
            if self.security == "starttls":
                connection.starttls(context=tls)
            if self.user:
                connection.login(self.user, self.password)
            yield connection
            # What was accepted is to be marked at once, whatever the server has to say to this.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                connection.putcmd("quit")
        finally:
            connection.close()


def _for_good(error: Exception) -> bool:
    """Whether a refusal is about the mail itself: a code from 500 on for its address or text, or an address beyond ASCII."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    about = smtplib.SMTPSenderRefused | smtplib.SMTPDataError
    addressed = isinstance(error, smtplib.SMTPNotSupportedError) and "SMTPUTF8" in str(error)
    return addressed or (isinstance(error, about) and error.smtp_code >= 500)


@dataclass(frozen=True)
class ClaimedMailer:
    """Sends the mail of one request, or of a later edition of it, once: claim, send, mark."""

    server: Server
    sender: str
    objects: Objects
    key: StepKey
    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    held_again: Sequence[float] = HELD_AGAIN_S

    async def send(self, message: EmailMessage) -> bool:
        """Send unless it was sent; whether this call sent it.

        Raises:
            MailRefusedError: the server will never take it.
            MailError: the server did not take it.
            ClaimHeldError: another process holds the claim, and still did after a while.
        """
        folder = f"requests/{self.key.request_id}/mail{suffix(self.key.edition)}"
        until = self.clock() + USED  # of when this step began, however long a claim is waited for
        # Whoever holds the claim is waited for: two deliveries at once are no failure.
        attempt = await self._again(lambda: self._claim(folder), self.held_again, ClaimHeldError)
        if attempt is None:
            return False
        if "From" not in message:
            message["From"] = self.sender
        try:
            await self._deliver(message, until)
        except (MailError, MailRefusedError) as error:
            # The server took nothing, as far as it answered: the next delivery need not wait for the lease.
            unanswered = isinstance(error, MailError) and error.unanswered
            returned = json.dumps({"at": self.clock().isoformat(), "unanswered": unanswered}).encode()
            await self.objects.create(f"{folder}/claim-{attempt:03d}-returned.json", returned, "application/json")
            raise
        sent = {
            "message_id": message["Message-ID"],
            "to": message["To"],
            "at": self.clock().isoformat(),
            "claim": attempt,
        }
        await self._mark(f"{folder}/sent.json", json.dumps(sent).encode())
        return True

    async def _mark(self, key: str, sent: bytes) -> None:
        """Note that the mail is out. A store that is away for a moment is no reason to send it again."""
        await self._again(lambda: self.objects.create(key, sent, "application/json"), MARK_AGAIN_S, StoreError)

    async def _again(self, do: Callable[[], Awaitable[T]], pauses: Sequence[float], error: type[EventingError]) -> T:
        """What `do` gives, tried once more after each pause while it fails by `error`."""
        for pause in pauses:
            with contextlib.suppress(error):
                return await do()
            await self.sleep(pause)
        return await do()

    async def _deliver(self, message: EmailMessage, until: datetime) -> None:
        def check() -> None:
            if self.clock() > until:
                raise MailError(f"the mail of request {self.key.request_id} was claimed too long ago to be sent now")

        def about() -> dict[str, Any]:
            address = {"server.address": self.server.host, "server.port": self.server.port}
            return {**address, "network.protocol.name": "smtp", "messaging.message.id": message["Message-ID"]}

        with telemetry.span("send mail", kind="client", about=about):
            if (traceparent := telemetry.context().get("traceparent")) and "Traceparent" not in message:
                message["Traceparent"] = traceparent
            await asyncio.to_thread(self.server.deliver, message, check)

    async def _claim(self, folder: str) -> int | None:
        """The number of the claim that is ours; None where the mail is out."""
        keys, sent = await self.objects.keys(folder), f"{folder}/sent.json"
        if sent in keys:
            return None
        claims = sorted(key for key in keys if key.rsplit("/", 1)[-1].startswith("claim-") and "returned" not in key)
        if claims and f"{claims[-1].removesuffix('.json')}-returned.json" not in keys:
            claimed = json.loads(await self.objects.get(claims[-1]) or b"{}").get("at")
            if claimed and self.clock() - datetime.fromisoformat(claimed) < LEASE:
                raise ClaimHeldError(f"the mail of request {self.key.request_id} is being sent by another process")
        attempt = len(claims) + 1
        claim = json.dumps({"at": self.clock().isoformat()}).encode()
        if not await self.objects.create(f"{folder}/claim-{attempt:03d}.json", claim, "application/json"):
            raise ClaimHeldError(f"the mail of request {self.key.request_id} was claimed by another process")
        # Whoever held the last claim may have marked the mail since the claims were listed.
        return attempt if await self.objects.get(sent) is None else None


class NoMailer:
    """Stands where no mail server is configured."""

    async def send(self, message: EmailMessage) -> bool:
        raise ConfigurationError("TORPOR_SMTP is not set, so no mail can be sent")
