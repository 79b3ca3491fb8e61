"""The journal: what was written is there after whatever end, and what was torn spoils nothing else."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.scheduler.book import Book, Record
from inference.scheduler.errors import ConfigurationError, JournalError
from inference.scheduler.journal import Journal
from tests.inference.scheduler.conftest import until

OPEN: Record = {"t": "open", "r": "r", "b": 100, "d": 1.0}
BEGIN: Record = {"t": "begin", "k": "k", "r": "r", "g": "digest", "s": "model", "p": 10}


def _shown(book: Book) -> list[Record]:
    return list(book.records())


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for record in (
        OPEN,
        BEGIN,
        {"t": "delta", "k": "k", "c": "Grüße \ud83d, "},
        {"t": "delta", "k": "k", "c": "two", "n": 2},
    ):
        journal.write(record)
    journal.close()
    call = Journal(tmp_path).book.calls["k"]
    assert (call.text, call.tokens, call.starts, call.begun) == ("Grüße \ud83d, two", 3, 1, True)


def test_a_torn_last_line_is_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(OPEN)
    journal.close()
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"t":"begin","k":"k","r"')
    again = Journal(tmp_path)
    assert list(again.book.requests) == ["r"] and not again.book.calls
    again.write(BEGIN)
    again.close()
    assert list(Journal(tmp_path).book.calls) == ["k"]


@pytest.mark.parametrize(
    "line", ["[]", "5", '{"t":"__class__"}', '{"t":"delta","k":"unknown","c":"x"}', '{"t":"open"}', "\x00\xff"]
)
def test_lines_that_are_none_of_ours_are_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "journal.jsonl").write_text(f'{line}\n{{"t":"open","r":"r","b":1,"d":2.0}}\n')
    assert list(Journal(tmp_path).book.requests) == ["r"]


def test_two_schedulers_do_not_share_a_journal(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    with pytest.raises(ConfigurationError, match="another scheduler uses the journal"):
        Journal(tmp_path)
    first.close()
    Journal(tmp_path).close()


def test_a_journal_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be used: (Not a directory|File exists)"):
        Journal(tmp_path / "file")


FULL = """
import resource, signal, sys
from pathlib import Path
from inference.scheduler.errors import JournalError
from inference.scheduler.journal import Journal
journal = Journal(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
written = 0
try:
    while True:
        journal.write({"t": "open", "r": f"r{written}", "b": 1, "d": 1.0})
        written += 1
except JournalError as error:
    assert len(journal.book.requests) == written, "what is not written is not believed"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.write({"t": "open", "r": "after", "b": 1, "d": 1.0})
    print(written, "room" in str(error))
"""


def test_a_full_disk_is_told_and_what_could_not_be_written_is_not_believed(tmp_path: Path) -> None:
    said = subprocess.check_output([sys.executable, "-c", FULL, str(tmp_path)], text=True).split()
    found = Journal(tmp_path).book.requests
    assert len(found) == int(said[0]) + 1 and "after" in found and said[1] == "True"
    assert resource.RLIM_INFINITY == -1 and issubclass(JournalError, Exception)


async def test_a_volume_that_is_full_while_the_journal_is_compacted_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("inference.scheduler.journal.SYNC_EVERY_S", 0.01)
    room, sync = False, os.fsync

    def full(file: int) -> None:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    journal = Journal(tmp_path, largest=1)
    monkeypatch.setattr("inference.scheduler.journal.os.fsync", full)
    keeping = asyncio.create_task(journal.keep())
    for record in (OPEN, BEGIN):
        journal.write(record)
    await until(lambda: "No space left" in caplog.text)
    assert not list(tmp_path.glob("*.new")) and not keeping.done()
    journal.write({"t": "delta", "k": "k", "c": "said in the meantime"})
    room, before = True, (tmp_path / "journal.jsonl").stat().st_ino
    await until(lambda: (tmp_path / "journal.jsonl").stat().st_ino != before)
    journal.write({"t": "delta", "k": "k", "c": ", and after"})
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    journal.close()
    assert Journal(tmp_path).book.calls["k"].text == "said in the meantime, and after"


def test_a_record_that_was_written_but_for_its_end_is_not_believed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, write = Journal(tmp_path), os.write
    for record in (OPEN, BEGIN):
        journal.write(record)
    monkeypatch.setattr("inference.scheduler.journal.os.write", lambda file, line: write(file, line[:-1]))
    with pytest.raises(JournalError):
        journal.write({"t": "delta", "k": "k", "c": "once"})
    monkeypatch.undo()
    journal.write({"t": "delta", "k": "k", "c": "twice"})
    journal.close()
    assert journal.book.calls["k"].text == Journal(tmp_path).book.calls["k"].text == "twice"


_KEYS, _TEXT = st.sampled_from(["a", "b", "c"]), st.text(max_size=5)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), _KEYS),
        st.tuples(st.just("delta"), _KEYS, _TEXT, st.integers(1, 3)),
        st.tuples(st.just("anew"), _KEYS),
        st.tuples(st.just("back"), _KEYS),
        st.tuples(st.just("end"), _KEYS),
        st.tuples(st.just("lost"), _KEYS),
        st.tuples(st.just("close"), st.just("r")),
    ),
    max_size=30,
)


def _record(step: tuple) -> Record:
    name, key, *rest = step
    more = {
        "begin": {"r": "r", "g": "g", "s": "m", "p": 7},
        "delta": {"c": rest[0], "n": rest[1]} if rest else {},
        "end": {"a": {"choices": []}, "p": 3, "c": 4},
        "lost": {"p": 2},
        "back": {"p": 7},
    }.get(name, {})
    return {"t": name, **({"r": key} if name == "close" else {"k": key}), **more}


@given(_STEPS)
@settings(deadline=None, max_examples=150)
def test_a_compacted_book_is_the_same_book(steps: list) -> None:
    book = Book()
    book.apply(OPEN)
    for step in steps:
        try:
            book.apply(_record(step))
        except LookupError:  # of a call that was never begun
            continue
    again = Book()
    for record in _shown(book):
        again.apply(record)
    assert _shown(again) == _shown(book)
    assert {k: (c.text, c.tokens, c.twice, c.begun) for k, c in again.calls.items()} == {
        k: (c.text, c.tokens, c.twice, c.begun) for k, c in book.calls.items()
    }
    assert [r.spent for r in again.requests.values()] == [r.spent for r in book.requests.values()]
