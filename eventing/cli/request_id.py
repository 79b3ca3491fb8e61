"""The ids of requests, as they are typed."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import click

from eventing.cli import project
from eventing.cli.errors import CommandError


class RequestId(click.ParamType[UUID]):
    """A request's id, or its first four characters or more where the local platform has one such request alone."""

    name = "request_id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        try:
            return value if isinstance(value, UUID) else UUID(value)
        except ValueError:
            pass
        if not re.fullmatch(r"[0-9a-f]{4}[0-9a-f-]*", value.lower()):
            self.fail(f"{value!r} is no request's id: a UUID, or the first four characters of one or more", param, ctx)
        from eventing.cli.history import asked

        found = [one.request_id for one in asked(project.config()) if one.request_id.startswith(value.lower())]
        if len(found) != 1:
            told = f"{len(found)} requests begin" if found else "no request begins"
            raise CommandError(f"{told} with {value}: `torpor requests` lists them")
        return UUID(found[0])
