"""The page: HTML from findings. Every value is cleaned and escaped; the page loads nothing and runs nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from functions.formatter.effort import duration
from functions.formatter.findings import Findings
from functions.policy import policy
from functions.prose import plain

# The report's other forms, as the gateway serves them.
FORMS = (("pdf", "PDF"), ("md", "Markdown"), ("json", "JSON"))
REFERENCES = (("bib", "BibTeX"), ("csl.json", "CSL JSON"))
LABELS = {
    "passage": "passage",
    "word for word": "word for word",
    "numbers": "numbers and units",
    "names": "names",
    "words": "wording",
    "quotations": "quotations",
    "bearers": "numbers with their names",
    "subjects": "names with what is said of them",
    "splices": "nothing spliced",
    "denial": "nothing denied",
    "comparisons": "comparisons",
    "generality": "nothing generalized",
    "kinds": "what a thing is",
}


def rendered(findings: Findings, edition: int = 0) -> str:
    """The report's page; the same for the same findings."""
    template, style = parts()
    query = f"?edition={edition}" if edition else ""
    linked = {
        name: tuple((title, f"{findings.request_id}.{ending}{query}") for ending, title in some)
        for name, some in (("forms", FORMS), ("references", REFERENCES), ("evidence", (("evidence.json", ""),)))
    }
    # The style is ours, not an event's: it must stand unescaped for its digest to hold.
    return template.render(f=findings, style=Markup(style), policy=Markup(policy(style)), labels=LABELS, linked=linked)  # noqa: S704


@cache
def parts() -> tuple[Template, str]:
    """The page's template and its style."""
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, finalize=_clean, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["duration"] = duration
    return environment.get_template("report.html.j2"), environment.get_template("report.css.j2").render()


def _clean(value: Any) -> Any:
    """Text without what does not show: control, zero-width and bidirectional characters."""
    return plain(value) if type(value) is str else value
