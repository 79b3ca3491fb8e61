"""Which offset of a partition may be committed. Pure."""

from __future__ import annotations


class Offsets:
    """Records of one partition, begun in order and finished in any: everything below `committable` is finished."""

    def __init__(self) -> None:
        self._open: dict[int, None] = {}  # in the order in which they were begun
        self._next = -1

    def begin(self, offset: int) -> None:
        self._open[offset] = None
        self._next = offset + 1

    def finish(self, offset: int) -> int | None:
        """The offset to commit if this one was the lowest that was open, else None."""
        lowest = next(iter(self._open)) == offset
        del self._open[offset]
        if not lowest:
            return None
        return next(iter(self._open), self._next)

    @property
    def in_flight(self) -> int:
        return len(self._open)
