"""`torpor audit`: gathers what is audited; what an audit is, the agents' own code says (`functions.auditing`)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from eventing.cli import gateway
from eventing.cli.errors import CommandError

FORMS = {"html": "", "md": ".md", "json": ".json"}


def audit_file(record: Path, digest: str, options: list[str]) -> int:
    """Audit a record in a file; the exit code."""
    return _run([str(record), "--digest", digest, *options])


def audit(request: UUID, url: str, digest: str, options: list[str]) -> int:
    """Audit the record of a request, together with the report as the gateway shows it; the exit code.

    Raises:
        CommandError: there is no such request, or it has no report.
    """
    with TemporaryDirectory() as folder:
        return _run([*_fetched(request, url, digest, Path(folder)), *options])


def _fetched(request: UUID, url: str, digest: str, folder: Path) -> list[str]:
    """The record, the digest and the report of a request's latest edition, as arguments of the audit."""
    state = json.loads(gateway.call("GET", f"{url}/research/{request}"))
    if state["status"] != "complete" and not state["edition"]:
        raise CommandError(_unreported(state))
    ended = json.loads(gateway.call("GET", f"{url}/research/{request}/answer"))
    link = ended.get("metadata", {}).get("link")
    if not link:
        raise CommandError(_unreported(state))
    query = urlsplit(link).query
    edition = f"?{query}" if query else ""
    record = folder / "record.json"
    record.write_bytes(gateway.call("GET", f"{url}/report/{request}.evidence.json{edition}"))
    found = [str(record), "--digest", digest or ended.get("evidence", "")]
    for form, ending in FORMS.items():
        file = folder / f"report.{form}"
        file.write_bytes(gateway.call("GET", f"{url}/report/{request}{ending}{edition}"))
        found += ["--form", f"{form}={file}"]
    return found


def _unreported(state: dict[str, Any]) -> str:
    """Why a request has no report, and what to do."""
    request = state["request_id"]
    if state["status"] == "running":
        return f"request {request} is running and has no report yet: audit it once it has ended (`torpor trail {request}`)"
    if state["status"] == "failed":
        why = state["reason"] or "the reason is not known"
        return (
            f"request {request} failed and has no report: {why}. Once that is mended, `torpor redrive {request}` sends it on"
        )
    return f"request {request} has ended without a report: its workflow makes none"


def _run(arguments: list[str]) -> int:
    code = subprocess.run([sys.executable, "-m", "functions.auditing", *arguments], check=False).returncode
    return min(code, 1)
