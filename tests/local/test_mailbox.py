"""The mailbox: real SMTP in, a Maildir on disk, letters out."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from eventing.local.errors import ServiceError
from eventing.local.mailbox import Mailbox, letters
from eventing.local.ports import unused


def mail(subject: str = "Ready: kühl", to: str = "me@example.org") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "torpor@localhost", to, subject
    message["Date"], message["Message-ID"] = "Mon, 23 Nov 2026 13:00:00 +0000", "<1@torpor>"
    message.set_content("Your report: http://localhost:8080/report/1 – done")
    message.add_alternative("<p>Your <b>report</b></p>", subtype="html")
    return message


@pytest.fixture
def port() -> int:
    return unused(1)[0]


@pytest.fixture
def mailbox(tmp_path: Path, port: int) -> Iterator[Mailbox]:
    server = Mailbox(tmp_path / "state" / "mail", port)
    server.start()
    yield server
    server.stop()


@pytest.mark.usefixtures("mailbox")
def test_mails_arrive_oldest_first_with_all_their_parts(tmp_path: Path, port: int) -> None:
    folder = tmp_path / "state" / "mail"
    with smtplib.SMTP("127.0.0.1", port) as client:
        for number in range(3):
            client.send_message(mail(f"Ready: kühl {number}"))
    found = letters(folder)
    assert [letter.subject for letter in found] == [f"Ready: kühl {number}" for number in range(3)]
    first = found[0]
    assert (first.sender, first.to, first.message_id) == ("torpor@localhost", "me@example.org", "<1@torpor>")
    assert first.date == "Mon, 23 Nov 2026 13:00:00 +0000"
    assert "http://localhost:8080/report/1 – done" in first.text
    assert "<b>report</b>" in first.html


@pytest.mark.usefixtures("mailbox")
def test_a_mail_that_no_rule_foresaw_is_shown_as_it_came(tmp_path: Path, port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("a@b", ["c@d"], b"Content-Type: text/plain; charset=no-such\r\n\r\nhello\r\n")
        client.sendmail("a@b", ["c@d"], b"\r\n")
    assert [letter.text.strip() for letter in letters(tmp_path / "state" / "mail")] == ["hello", ""]


def test_where_no_mailbox_is_there_are_no_letters(tmp_path: Path) -> None:
    assert letters(tmp_path / "nothing") == []


@pytest.mark.usefixtures("mailbox")
def test_a_taken_port_is_said(tmp_path: Path, port: int) -> None:
    with pytest.raises(ServiceError, match=rf"mailbox cannot be started: port {port} \(smtp\) is taken"):
        Mailbox(tmp_path / "other", port).start()


def test_mails_survive_a_restart(tmp_path: Path, port: int) -> None:
    for _ in range(2):
        server = Mailbox(tmp_path / "mail", port)
        server.start()
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.send_message(mail())
        server.stop()
    assert len(letters(tmp_path / "mail")) == 2


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_login_can_be_asked_for(tmp_path: Path, port: int) -> None:
    server = Mailbox(tmp_path / "mail", port, user="me", password="secret")
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPSenderRefused):
            client.send_message(mail())
        with smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("me", "wrong")
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.login("me", "secret")
            client.send_message(mail())
    finally:
        server.stop()
    assert len(letters(tmp_path / "mail")) == 1


def test_encryption_can_be_asked_for(tmp_path: Path, port: int) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([*made, *subject], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = Mailbox(tmp_path / "mail", port, user="me", password="secret", tls=tls)
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPException):
            client.send_message(mail())
        with smtplib.SMTP("127.0.0.1", port) as client:
            client.starttls(context=ssl.create_default_context(cafile=str(certificate)))
            client.login("me", "secret")
            client.send_message(mail())
    finally:
        server.stop()
    assert len(letters(tmp_path / "mail")) == 1


def test_a_full_disk_is_a_reason_to_come_again(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    server = Mailbox(tmp_path / "mail", port)
    monkeypatch.setattr("mailbox.Maildir.add", full)
    server.start()
    try:
        with smtplib.SMTP("127.0.0.1", port) as client, pytest.raises(smtplib.SMTPDataError) as refused:
            client.send_message(mail())
        assert refused.value.smtp_code == 452
    finally:
        server.stop()
