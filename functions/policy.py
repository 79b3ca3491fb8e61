"""What a report's page may do: show its one style. The page says so itself, and the gateway says the same of it."""

from __future__ import annotations

import base64
import hashlib


def policy(style: str) -> str:
    """The content security policy of a page with this one style: no script, no request, no frame, no form."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
