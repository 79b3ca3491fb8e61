"""The record of a report: the result that it was made from, and digests by which anybody can audit it, whenever."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions.authorship import digest
from functions.records import FORM, digests, sha256
from schemas import ResearchResult


def record(result: ResearchResult, edition: int, forms: Mapping[str, str]) -> str:
    """A result with its digests and those of the report's forms; the same for the same result."""
    content: dict[str, Any] = {
        "torpor_evidence": FORM,
        "request_id": str(result.request_id),
        "edition": edition,
        "written_with": sorted({part.written_with for part in result.parts} - {""}),
        "checked_with": sorted({part.checked_with for part in result.parts} - {""}),
        "formatted_with": digest(__file__),
        "report": {form: sha256(text.encode()) for form, text in forms.items()},
        "result": result.model_dump(mode="json"),
    }
    content["digests"] = digests(content)
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
