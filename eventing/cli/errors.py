"""What the command tells its user when it cannot go on."""

from __future__ import annotations

import click


class CommandError(click.ClickException):
    """Something went wrong and the reason is told: exit code 1."""

    exit_code = 1

    def show(self, file: object = None) -> None:
        click.secho(f"torpor: {self.format_message()}", fg="red", err=True)


class NotFoundError(CommandError):
    """The gateway knows no such thing."""


class NotRunningError(CommandError):
    """The platform is not there: exit code 3."""

    exit_code = 3


class AnotherPlatformError(NotRunningError):
    """Where the platform should be, that of another project is."""
