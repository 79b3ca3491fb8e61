"""The report as a PDF, made when somebody asks for it: from its JSON, by a template that sets every text as text."""

from __future__ import annotations

from pathlib import Path

from eventing.errors import ConfigurationError

TEMPLATE = Path(__file__).with_name("report.typ")


def pdf(report: bytes, page: str, fonts: str = "") -> bytes:
    """A report's JSON as a PDF, the same bytes for the same report.

    Characters that no font has, of those that Typst brings and those in the folder `fonts`, are named at its beginning, with
    the address of the page, which shows them.

    Raises:
        ConfigurationError: when there is no such folder.
    """
    import typst  # heavy, and of no use to any other route

    if fonts and not Path(fonts).is_dir():
        raise ConfigurationError(f"TORPOR_SETTING_FONTS is {fonts}, which is no folder; name one that holds fonts")
    return typst.compile(
        TEMPLATE.read_bytes(),
        format="pdf",
        font_paths=typst.Fonts(include_system_fonts=False, font_paths=[fonts] if fonts else []),
        sys_inputs={"report": report.decode(), "page": page},
        timestamp=0,
    )
