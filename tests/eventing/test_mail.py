"""Mail goes out once, over real SMTP, with login and STARTTLS where asked; a dead sender's claim is taken over."""

import asyncio
import json
import smtplib
import ssl
import subprocess
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from eventing.agent import StepKey
from eventing.errors import ConfigurationError
from eventing.local.mailbox import Mailbox, _Keeper, letters
from eventing.local.ports import unused
from eventing.mail import LEASE, ClaimedMailer, ClaimHeldError, MailError, MailRefusedError, Server
from eventing.testing import NOON, REQUEST, memory_bucket


def message() -> EmailMessage:
    mail = EmailMessage()
    mail["To"], mail["Subject"], mail["Message-ID"] = "you@example.org", "Your report", "<1@torpor>"
    mail.set_content("The link")
    mail.add_alternative("<p>The link</p>", subtype="html")
    return mail


class Clock:
    now = NOON

    def __call__(self):
        return self.now


def mailer(url: str, bucket, clock=None, sleep=asyncio.sleep) -> ClaimedMailer:
    key = StepKey(REQUEST, "notify")
    return ClaimedMailer(Server.parse(url), "torpor@example.org", bucket, key, clock or Clock(), sleep)


async def at_once(seconds: float) -> None:
    """A pause that is none."""


@pytest.fixture
def server(tmp_path):
    (port,) = unused(1)
    box = Mailbox(tmp_path / "mail", port)
    box.start()
    yield f"smtp://127.0.0.1:{port}", tmp_path / "mail"
    box.stop()


async def test_a_mail_goes_out_once(server):
    url, folder = server
    bucket = memory_bucket()
    assert [await mailer(url, bucket).send(message()) for _ in range(3)] == [True, False, False]
    (letter,) = letters(folder)
    assert (letter.to, letter.sender, letter.subject) == ("you@example.org", "torpor@example.org", "Your report")
    assert "The link" in letter.text and "<p>The link</p>" in letter.html


async def test_senders_at_once_send_one(server):
    url, folder = server
    bucket = memory_bucket()
    results = await asyncio.gather(*(mailer(url, bucket).send(message()) for _ in range(8)))
    assert sorted(results) == [False] * 7 + [True]
    assert len(letters(folder)) == 1


async def test_a_claim_without_its_mark_is_taken_over_after_its_lease(server):
    url, folder = server
    bucket, clock = memory_bucket(), Clock()
    await mailer(url, bucket, clock)._claim(f"requests/{REQUEST}/mail")  # a sender that died before it sent
    with pytest.raises(ClaimHeldError, match="being sent by another process"):
        await mailer(url, bucket, clock, at_once).send(message())
    clock.now = NOON + LEASE + timedelta(seconds=1)
    assert await mailer(url, bucket, clock).send(message())
    assert len(letters(folder)) == 1


async def test_a_server_that_is_away_is_tried_again_at_once(server):
    url, _ = server
    bucket = memory_bucket()
    (closed,) = unused(1)
    with pytest.raises(MailError, match="did not take the mail"):
        await mailer(f"smtp://127.0.0.1:{closed}", bucket).send(message())
    assert await mailer(url, bucket).send(message())


async def test_what_was_accepted_is_marked_whatever_the_server_says_to_the_farewell(server, monkeypatch):
    url, folder = server

    async def going(*_: object) -> str:
        return "421 going down"

    monkeypatch.setattr(_Keeper, "handle_QUIT", going, raising=False)
    bucket = memory_bucket()
    assert [await mailer(url, bucket).send(message()) for _ in range(2)] == [True, False]
    assert len(letters(folder)) == 1


async def test_a_sender_that_was_slow_since_its_claim_sends_nothing(server):
    url, folder = server
    bucket, clock = memory_bucket(), Clock()

    class Slow(ClaimedMailer):
        async def _deliver(self, message: EmailMessage, until: datetime) -> None:
            clock.now = NOON + LEASE
            await super()._deliver(message, until)

    slow = mailer(url, bucket, clock)
    with pytest.raises(MailError, match="claimed too long ago"):
        await Slow(slow.server, slow.sender, slow.objects, slow.key, slow.clock).send(message())
    assert letters(folder) == []
    assert await mailer(url, bucket, clock).send(message())


async def test_a_server_that_takes_a_mail_and_goes_without_an_answer_leaves_that_on_record(server, monkeypatch):
    url, folder = server
    kept = _Keeper.handle_DATA

    async def gone(self: _Keeper, server: Any, session: Any, envelope: Any) -> str:
        await kept(self, server, session, envelope)
        server.transport.abort()
        return ""

    monkeypatch.setattr(_Keeper, "handle_DATA", gone)
    bucket = memory_bucket()
    with pytest.raises(MailError, match="did not take the mail"):
        await mailer(url, bucket).send(message())
    monkeypatch.undo()
    assert await mailer(url, bucket).send(message())  # RFC 1047: nobody knows whether it was taken
    first, second = letters(folder)
    assert first.message_id == second.message_id
    returned = json.loads(await bucket.get(f"requests/{REQUEST}/mail/claim-001-returned.json") or b"")
    assert returned["unanswered"] is True


async def test_login_and_starttls(tmp_path, monkeypatch):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    (port,) = unused(1)
    box = Mailbox(tmp_path / "mail", port, user="me", password="pass word", tls=tls)
    box.start()
    try:
        await mailer(f"smtp+starttls://me:pass%20word@localhost:{port}", memory_bucket()).send(message())
        assert len(letters(tmp_path / "mail")) == 1
        with pytest.raises(MailError, match="Authentication") as caught:
            await mailer(f"smtp+starttls://me:wrong@localhost:{port}", memory_bucket()).send(message())
        assert "wrong" not in str(caught.value)
    finally:
        box.stop()


def test_passwords_show_nowhere():
    server = Server.parse("smtps://me:secret@mail.example.org")
    assert "secret" not in repr(server) and server.port == 465
    with pytest.raises(ConfigurationError) as caught:
        Server.parse("http://me:secret@mail.example.org")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (smtplib.SMTPRecipientsRefused({"a@b.c": (550, b"no such user")}), MailRefusedError),
        (smtplib.SMTPRecipientsRefused({"a@b.c": (450, b"try later")}), MailError),
        (smtplib.SMTPDataError(554, b"spam"), MailRefusedError),
        (smtplib.SMTPDataError(451, b"try later"), MailError),
        (smtplib.SMTPNotSupportedError("One or more source or delivery addresses require SMTPUTF8"), MailRefusedError),
        (smtplib.SMTPNotSupportedError("STARTTLS extension not supported by server."), MailError),
        (smtplib.SMTPAuthenticationError(535, b"no"), MailError),
        (TimeoutError("timed out"), MailError),
    ],
)
async def test_only_what_may_change_is_tried_again(server, monkeypatch, error, kind):
    url, _ = server

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(smtplib.SMTP, "send_message", refuse)
    bucket = memory_bucket()
    with pytest.raises(kind):
        await mailer(url, bucket).send(message())
    monkeypatch.undo()
    assert await mailer(url, bucket).send(message())  # the claim was given back
