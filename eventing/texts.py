"""The text of a file that somebody wrote, or why it cannot be had."""

from __future__ import annotations

from pathlib import Path


class NoTextError(Exception):
    """Why there is no text, as what follows the file's name."""


def text_of(path: Path) -> str:
    """The text of a file.

    Raises:
        NoTextError: when it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text()
    except OSError as error:
        raise NoTextError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise NoTextError("is not UTF-8: save it as that") from error
