"""Auditing a report by its record, offline: `python -m functions.auditing RECORD`, which is what `torpor audit` runs.

Nothing is asked of anybody: digests are made again, quotations are looked up, fixed rules are applied again. Whoever
alters a record and makes all its digests again is found out only by a digest of it that was kept elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from functions import authorship
from functions.prose import plain
from functions.records import FORM, HEAD, digests, sha256
from functions.research_assistant.passages import passage_id, passages
from functions.validator import checks
from schemas import PartAbandoned, Passage, ResearchResult, ValidationPassed

Part = ValidationPassed | PartAbandoned


class AuditError(Exception):
    """This is no record that can be audited."""


def audit(data: bytes, expected: str = "", forms: Mapping[str, bytes] | None = None) -> dict[str, Any]:
    """What an audit of a record finds: how much was looked at, what is wrong, and what to know beside it.

    Args:
        expected: SHA-256 of the record, as the request's last event says it.
        forms: the report as it is shown today, by form.

    Raises:
        AuditError: it cannot be read as a record.
    """
    record, result = _read(data)
    wrong = (
        [f"the record is not the one that the digest {expected} was made of"] if expected not in ("", sha256(data)) else []
    )
    wrong += _altered(record.get("digests"), digests(record))
    if record.get("request_id") != str(result.request_id):
        wrong.append("the record names another request than its result")
    wrong += _forms(_mapping(record.get("report")), forms or {})
    for part in result.parts:
        wrong += _part(part)
    return {
        "request_id": str(result.request_id),
        "record": sha256(data),
        "statements": sum(len(part.claims) for part in result.parts),
        "passages": len({passage.id for part in result.parts for passage in part.passages}),
        "wrong": wrong,
        "notes": list(_notes(record, result)),
    }


def _notes(record: Mapping[str, Any], result: ResearchResult) -> Iterator[str]:
    mine = authorship.digest(checks.__file__)
    if others := sorted({part.checked_with for part in result.parts} - {"", mine}):
        yield f"checked with rules {', '.join(others)}; audited with {mine}: they may judge differently"
    if HEAD not in _mapping(record.get("digests")):
        yield f"it was made before there was a digest of {HEAD}: that is bound by the record's own digest alone"


def _read(data: bytes) -> tuple[dict[str, Any], ResearchResult]:
    try:
        record = json.loads(data)
        json.dumps(record, ensure_ascii=False).encode()  # half a character has no bytes to make a digest of
    except (ValueError, RecursionError) as error:
        raise AuditError(f"it is no JSON: {error}") from error
    form = record.get("torpor_evidence") if isinstance(record, dict) else None
    if form != FORM:
        raise AuditError(
            f"it is no record of form {FORM}: `torpor_evidence` is {str(form)[:40]}; GET /report/ID.evidence.json"
        )
    try:
        return record, ResearchResult.model_validate_json(json.dumps(record.get("result")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "result"
        raise AuditError(f"its result breaks the contract: {where}: {first['msg']}") from error


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _altered(written: Any, made: dict[str, str]) -> list[str]:
    """Which pieces are not what the record's digests were made of."""
    if not isinstance(written, dict):
        return ["the record has no digests"]
    changed = [f"{name} was altered" for name in made if name in written and written[name] != made[name]]
    added = [f"{name} was put in" for name in made if name not in written and name != HEAD]
    return [*changed, *added, *(f"{name} was taken out" for name in written if name not in made)]


def _forms(written: dict[str, Any], forms: Mapping[str, bytes]) -> list[str]:
    return [f"the report's {form} was altered" for form, data in forms.items() if written.get(form) != sha256(data)]


def _part(part: Part) -> Iterator[str]:
    """What does not agree within a part: passages with their ids, quotations with passages, rules with verdicts."""
    passages = {passage.id: passage for passage in part.passages}
    for passage in part.passages:
        if passage.id != passage_id(passage.source.id, passage.text):
            yield f"part {part.part}: passage {passage.id} ({passage.source.id}) has other words than it was named by"
    judged = {verdict.claim: verdict for verdict in part.verdicts}
    for number, claim in enumerate(part.claims):
        where = f"part {part.part}, statement {number + 1}"
        verdict = judged.get(number)
        if verdict is None:
            yield f"{where} has no verdict"
            continue
        if claim.quoted and not _stands(claim.text, passages.get(claim.passage)):
            yield f"{where} is marked as a quotation and does not stand in its passage"
        again = checks.verdict(number, claim, passages)
        said = "supported" if verdict.by == "model" else verdict.verdict
        if again.verdict != said:
            yield f"{where}: the record says {said}, the rules say {again.verdict} ({again.reason})"


def _stands(text: str, passage: Passage | None) -> bool:
    return passage is not None and plain(text) in plain(passage.text)


def documents(data: bytes, folder: Path) -> Iterator[str]:
    """What passages of the record are not in the documents of a folder, at their offset."""
    from functions.research_assistant.documents import document

    _, result = _read(data)
    named = {passage.id: passage for part in result.parts for passage in part.passages}
    cut: dict[str, dict[str, int] | None] = {}  # the offset of each passage of a document; None for one that is not there
    for passage in named.values():
        name, path = passage.source.id, folder / passage.source.id
        if name not in cut:
            cut[name] = None
            if path.resolve().is_relative_to(folder.resolve()) and path.is_file():
                cut[name] = {one.passage.id: one.passage.offset for one in passages(document(name, path.read_bytes()))}
            else:
                yield f"{name} is not in {folder}"
        if (offsets := cut[name]) is not None and offsets.get(passage.id) != passage.offset:
            yield f"{name} does not have passage {passage.id} from character {passage.offset}"


def main() -> int:
    """Tell what the audit finds; 0 where nothing is wrong, 1 where something is, 2 where there is nothing to audit."""
    parser = argparse.ArgumentParser(prog="torpor audit", description="Audit a report by its record, offline.")
    parser.add_argument("record", type=Path, help="the record (/report/ID.evidence.json)")
    parser.add_argument("--digest", default="", help="SHA-256 that the record must have")
    parser.add_argument("--form", action="append", default=[], metavar="FORM=FILE", help="the report as it is shown")
    parser.add_argument("--documents", type=Path, help="the folder that the documents lie in")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        data = options.record.read_bytes()
        forms = {form: Path(file).read_bytes() for form, _, file in (told.partition("=") for told in options.form)}
        found = audit(data, options.digest, forms)
        if options.documents:
            found["wrong"] += list(documents(data, options.documents))
    except (AuditError, OSError) as error:
        print(f"torpor: {options.record}: {plain(str(error))}", file=sys.stderr)
        return 2
    print(json.dumps(found, ensure_ascii=False) if options.json else _told(found))
    return 1 if found["wrong"] else 0


def _told(found: dict[str, Any]) -> str:
    lines = [
        f"request {found['request_id']}, {found['statements']} statements, {found['passages']} passages",
        found["record"],
    ]
    lines += [f"  ✗ {plain(fault)}" for fault in found["wrong"]]
    lines += [f"  note: {note}" for note in found["notes"]]
    return "\n".join(
        [*lines, "something is wrong" if found["wrong"] else "nothing was altered, and the rules judge as they did"]
    )


if __name__ == "__main__":
    sys.exit(main())
