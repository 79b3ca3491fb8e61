"""The report as a PDF, made when somebody asks for it: from its JSON, by a template that sets every text as text."""

from __future__ import annotations

from pathlib import Path

TEMPLATE = Path(__file__).with_name("report.typ")


def pdf(report: bytes, page: str) -> bytes:
    """A report's JSON as a PDF, the same bytes for the same report.

    Characters that no font has are named at its beginning, with the address of the page, which shows them.
    """
    import typst  # heavy, and of no use to any other route

    return typst.compile(
        TEMPLATE.read_bytes(),
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={"report": report.decode(), "page": page},
        timestamp=0,
    )
