"""What the command tells: tables, lines, the live picture, and what it says when something is wrong."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from rich.console import Console

from eventing.cli import asking, documents, gateway, trails, watching
from eventing.cli.asking import Story
from eventing.cli.errors import CommandError, NotRunningError
from eventing.cli.picture import Picture
from eventing.local.ports import row
from eventing.workflow import named

ROOT = Path(__file__).parents[2]


def torpor(*arguments: str, here: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eventing.cli", *arguments]
    return subprocess.run(
        command, cwd=here, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def event(kind: str, number: int, source: str = "/gateway", cause: int | None = None, **attributes: str) -> dict:
    base = {"id": f"e{number}", "type": kind, "source": source, "time": "2026-01-01T12:00:00+00:00", "notes": {}}
    return base | ({"cause": f"e{cause}"} if cause is not None else {}) | attributes


COST = {"durationms": "1500", "tokens": "40", "coldstart": "true"}
STORY = [
    event("research_requests", 0),
    event("research_questions", 1, "/agents/planner/plan", 0, part="1", **COST),
    event("research_questions", 2, "/agents/planner/plan", 0, part="2"),
    event("summary_ready", 3, "/agents/research_assistant/research", 1, part="1", revision="0", **COST),
]


def shown(picture: Picture) -> str:
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(picture)
    return console.export_text()


def test_the_picture_shows_who_works_on_what_and_what_it_cost():
    picture = Picture(named("research"), clock=lambda: 0.0)
    for one in STORY:
        picture.see(one)
    picture.processes({"planner": {"instances": 0}, "research-assistant": {"instances": 1}, "validator": {"instances": 0}})
    text = shown(picture)
    assert "asleep" in next(line for line in text.splitlines() if "planner" in line)
    assert "part 2" in next(line for line in text.splitlines() if "research assistant" in line)
    assert "part 1 (waking)" in next(line for line in text.splitlines() if "validator" in line)
    assert "80 tokens" in text


def piece(text: str, at: int = 0, done: bool = False, call: str = "r/research/1.0#1.0") -> dict:
    place = {"step": "research", "agent": "research_assistant", "part": 1, "revision": 0}
    return {"call": call, **place, "at": at, "text": text, "done": done}


def test_the_picture_shows_the_end_of_what_a_model_is_saying_until_it_has_said_it():
    picture = Picture(named("research"), clock=lambda: 0.0)
    picture.hear(piece("The otter " * 40))
    picture.hear(piece("sleeps.", 400))
    line = next(line for line in shown(picture).splitlines() if "sleeps." in line)
    assert line.startswith("  research assistant 1  …") and line.endswith("otter sleeps.") and len(line) <= 100
    picture.hear(piece("No: it swims.", 0))  # begun anew
    assert "No: it swims." in shown(picture) and "sleeps" not in shown(picture)
    picture.hear(piece("", 13, done=True))
    assert "swims" not in shown(picture)
    picture.hear(piece("cut in mid-sen", call="r/research/1.0#2.0"))
    picture.see(STORY[3])
    assert "mid-sen" not in shown(picture)


def test_nothing_that_a_model_says_reaches_the_terminal_but_text():
    picture = Picture(named("research"), clock=lambda: 0.0)
    picture.hear(piece("a\x1b[2Jb\x9b31mc\u202ed\r\ne[bold]f\x07\x00漢漢" + "漢" * 200))
    text = shown(picture)
    assert not {"\x1b", "\x9b", "\u202e", "\r", "\x07", "\x00"} & set(text)
    assert all(len(line) <= 100 for line in text.splitlines())
    picture.hear(piece("a\x1b[2Jb\x9b31m d\r\ne[bold]f\x07"))
    assert "a[2Jb31m d e[bold]f" in shown(picture)
    failed = event("step_failed", 9, "/agents/planner/plan") | {"notes": {"reason": "it said \x1b]0;x\x07 and\nwent"}}
    (line,) = asking.lines(failed, Story("r"))
    assert "it said ]0;x and went" in line
    assert Story("r", {"reason": "\x1b[2J"}).why == "[2J" and Story("r", {"reason": None}).why


def test_json_lines_have_what_the_models_say_where_that_is_asked_for(monkeypatch, capsys):
    told = [("research_questions", STORY[1]), ("tokens", piece("so\x1b[2J")), ("end", {"status": "complete"})]
    monkeypatch.setattr(gateway, "events", lambda *_: iter(told))
    for with_tokens, kinds in ((False, ["research_questions", "end"]), (True, ["research_questions", "tokens", "end"])):
        story = watching.follow("http://x", "r", 1.0, as_json=True, with_tokens=with_tokens)
        said = capsys.readouterr().out
        assert [json.loads(line)["event"] for line in said.splitlines()] == kinds and "\x1b" not in said
        assert story.complete and story.tokens == 40


class Cutting(BaseHTTPRequestHandler):
    """A stream that breaks, a gateway that is away for a moment, and the rest of the stream."""

    came: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.came.append(self.headers.get("Last-Event-ID"))
        turn = len(self.came)
        self.send_response(503 if turn == 2 else 200)
        self.end_headers()
        said = {1: "retry: 1000\n\nid: a~1\nevent: tokens\ndata: {}\n\nid: b~2\nevent: tok", 3: ": rest\n\n"}
        self.wfile.write(said.get(turn, 'id: c~\nevent: end\ndata: {"topic": "é"}\n\n').encode())

    def log_message(self, *_: object) -> None: ...


def test_a_stream_that_breaks_is_taken_up_where_it_was():
    with ThreadingHTTPServer(("127.0.0.1", 0), Cutting) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        found = list(gateway.events(f"http://127.0.0.1:{server.server_port}/x", 5.0))
        server.shutdown()
    assert found == [("tokens", {}), ("end", {"topic": "é"})]
    assert Cutting.came == [None, "a~1", "a~1", "a~1"]


class Quiet(BaseHTTPRequestHandler):
    """A stream without news for a while: heartbeats alone, then its end, if any."""

    beats, end = 10, b'event: end\ndata: {"topic": "x"}\n\n'

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(self.beats):
            self.wfile.write(b": still running\n\n")
            time.sleep(0.1)
        self.wfile.write(self.end)

    def log_message(self, *_: object) -> None: ...


def test_a_request_without_news_is_followed_as_long_as_it_was_asked_for(monkeypatch):
    monkeypatch.setattr(gateway, "SILENT_S", 0.4)
    monkeypatch.setattr(gateway, "MOST_MISSES", 0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x"
        assert list(gateway.events(url, 60.0)) == [("end", {"topic": "x"})]
        monkeypatch.setattr(Quiet, "end", b"")
        with pytest.raises(CommandError, match=r"no news for 2.5 s; the request goes on"):
            list(gateway.events(url, 2.5))
        monkeypatch.setattr(Quiet, "do_GET", lambda _: time.sleep(3))
        with pytest.raises(NotRunningError, match="does not answer any more"):
            list(gateway.events(url, 60.0))
        server.shutdown()


def test_a_join_is_done_with_all_its_parts_at_once():
    picture = Picture(named("research"), clock=lambda: 0.0)
    for number in (1, 2):
        picture.see(event("validation_passed", number, "/agents/validator/validate", part=str(number)))
    assert "part 1, part 2" in shown(picture)
    picture.see(event("research_results", 3, "/agents/aggregator/aggregate", 2, **COST))
    assert "part 1" not in shown(picture)


def test_a_line_tells_agent_part_result_time_tokens_and_waking():
    story = Story("r")
    lines = [line for one in STORY for line in asking.lines(one, story)]
    assert len(lines) == 2 and "woken from zero" in lines[1] and "research_assistant" in lines[1] and "part 1" in lines[1]
    assert (story.steps, story.tokens, story.wakes) == (2, 80, 2)


@pytest.mark.parametrize(("claims", "told"), [(0, "report without a claim"), (3, "research complete")])
def test_that_a_report_makes_no_claim_is_told(claims: int, told: str):
    done = event("research_complete", 3, "/agents/formatter/format", 2, **COST)
    (line,) = asking.lines(done | {"notes": {"claims": claims}}, Story("r"))
    assert told in line


def test_why_a_part_was_abandoned_is_told():
    given_up = event("part_abandoned", 3, "/agents/research_assistant/research", 2, part="1", **COST)
    _, reason = asking.lines(given_up | {"notes": {"reason": "nothing was found\x1b[2J in 12 documents"}}, Story("r"))
    assert "nothing was found" in reason and "in 12 documents" in reason and "\x1b[2J" not in reason


def test_a_dead_letter_is_told():
    dead = STORY[1] | {"knativeerrorcode": "422", "reason": "depth: too deep"}
    assert "given up: research_questions: depth: too deep" in next(iter(asking.lines(dead, Story("r"))))


def test_the_trail_takes_foreign_events_without_or_with_a_wrong_time():
    table = trails.table([STORY[0] | {"time": "soon"}, {k: v for k, v in STORY[1].items() if k != "time"}])
    assert table.count("research_") == 2


def test_a_folder_is_the_same_collection_wherever_it_lies(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "deep").mkdir(parents=True)
        (tmp_path / folder / "deep" / "note.md").write_text("# One")
    one, other = (documents.collect(tmp_path / folder) for folder in ("a", "b"))
    assert one.name == other.name and list(one.files) == ["deep/note.md"]
    (tmp_path / "b" / "deep" / "note.md").write_text("# Two")
    assert documents.collect(tmp_path / "b").name != one.name


def test_links_that_go_in_circles_end(tmp_path):
    (tmp_path / "note.md").write_text("text")
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "loop.md").symlink_to(tmp_path / "loop.md")
    found = documents.collect(tmp_path)
    assert list(found.files) == ["note.md"] and "loop.md" in found.skipped


def test_of_too_many_files_the_first_are_read_and_the_others_named(tmp_path, monkeypatch):
    for number in range(5):
        (tmp_path / f"{number}.md").write_text(f"note {number}")
    monkeypatch.setattr(documents, "MOST_FILES", 3)
    found = documents.collect(tmp_path)
    assert list(found.files) == ["0.md", "1.md", "2.md"]
    assert found.skipped == dict.fromkeys(("3.md", "4.md"), "more than 3 files")


def test_a_folder_without_a_usable_document_says_why(tmp_path):
    (tmp_path / "x.exe").write_bytes(b"MZ")
    with pytest.raises(CommandError, match=r"x\.exe: not one of"):
        documents.collect(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("ask", "x", "--depth", "9"), 2, "9 is not in the range 1<=x<=5"),
        (("ask", "x"), 3, "nobody answers at"),
        (("ask", " "), 2, "TOPIC is empty: write what is asked"),
        (("demo", "--topic", ""), 2, "TOPIC is empty: write what is asked"),
        (("ask", "x", "--to", "nobody"), 2, "an e-mail address such as me@example.org is meant, got 'nobody'"),
        (("ask", "x", "--wait", "0"), 2, "0 is not in the range x>=1"),
        (("chaos", "quick", "--gateway", "http://x"), 2, "--gateway of which cluster? Name it by --cluster or"),
        (("ask", "x", "--tokens"), 2, "--tokens goes with --json"),
        (("ps",), 3, "start the platform with `torpor up`"),
        (("trail", "no-uuid"), 2, "'no-uuid' is no request's id: a UUID, or the first four characters of one or more"),
        (("post", "/absent.json"), 1, "cannot be read: No such file"),
        (("up", "--sources", "/absent"), 2, "Directory '/absent' does not exist"),
    ],
)
def test_errors_say_what_to_do_with_an_exit_code_and_no_traceback(tmp_path, arguments, code, told):
    done = torpor(*arguments, TORPOR_STATE=str(tmp_path), TORPOR_PORT=str(row(7)))
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stderr and "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("name", "value", "code", "told"),
    [
        ("TORPOR_URL", "nonsense", 1, "TORPOR_URL must be a gateway's base URL such as http://"),
        ("TORPOR_URL", "http://[::1", 1, "TORPOR_URL must be a gateway's base URL such as http://"),
        ("TORPOR_URL", "http://localhost:1", 3, "nobody answers at http://localhost:1/dead: TORPOR_URL names it"),
        ("TORPOR_URL", "", 3, "start the platform with `torpor up`"),
        ("TORPOR_MODEL_URL", "localhost:8000", 1, "TORPOR_MODEL_URL must be the API's base such as http://"),
        ("TORPOR_PORT", "²²²²", 1, "TORPOR_PORT must be a port between 1024 and 65500"),
        ("TORPOR_IMPORT_LIMIT_S", "x", 1, "TORPOR_IMPORT_LIMIT_S must be a number of seconds such as 20, got 'x'"),
        ("TORPOR_PROJECT", "/absent", 1, "TORPOR_PROJECT=/absent: there is no such folder"),
        ("TORPOR_WORKFLOW", "absent", 3, "start the platform with `torpor up`"),  # whoever looks needs none
    ],
)
def test_a_variable_that_cannot_be_is_told_by_its_name(tmp_path, name, value, code, told):
    done = torpor("dead", **{"TORPOR_STATE": str(tmp_path), "TORPOR_PORT": str(row(7)), name: value})
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stderr and "Traceback" not in done.stderr and "Warning" not in done.stderr


def test_a_platform_that_is_not_there_is_not_what_torpor_url_names(tmp_path):
    done = torpor("ps", TORPOR_STATE=str(tmp_path), TORPOR_PORT=str(row(7)), TORPOR_URL="http://localhost:1")
    assert done.returncode == 3 and "/platform/ps: start the platform with `torpor up`" in done.stderr


def test_what_is_not_yet_a_workflow_is_told_with_what_it_lacks(tmp_path):
    (tmp_path / "functions/idle").mkdir(parents=True)
    (tmp_path / "functions/idle/func.yaml").touch()
    (tmp_path / "mine.yaml").write_text("opens: x\nstep: {}\n")
    assert "mine.yaml lacks a line that begins with `steps:`" in torpor("check", here=tmp_path).stderr
    done = torpor("check", here=tmp_path, TORPOR_WORKFLOW="absent")
    assert done.returncode == 1 and "TORPOR_WORKFLOW must be a .yaml file, or research" in done.stderr


def test_where_no_project_is_an_agent_is_made_nowhere_and_what_is_checked_is_said(tmp_path):
    done = torpor("new", "agent", "translator", here=tmp_path)
    assert done.returncode == 1 and f"{tmp_path} is no project: `torpor new workflow NAME` makes it one" in done.stderr
    assert not (ROOT / "functions/translator").exists() and not list(tmp_path.iterdir())
    assert f"research (it comes with Torpor: {tmp_path} is no project): 7 steps" in torpor("check", here=tmp_path).stdout
    (tmp_path / "functions/idle").mkdir(parents=True)
    (tmp_path / "functions/idle/func.yaml").touch()
    (tmp_path / "mine.yaml").touch()
    done = torpor("check", here=tmp_path)
    assert done.returncode == 1 and "no workflow file beside it, which is a .yaml with the keys `opens` and" in done.stderr
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "wide.yaml").write_bytes("opens: x".encode("utf-16"))
    told = torpor("check", here=tmp_path).stderr
    assert told.endswith("; mine.yaml is empty; pipe.yaml is no file; wide.yaml is not UTF-8: save it as that\n")


def test_what_a_full_disk_does_not_take_is_told_in_a_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", "import torpor; torpor.main()", "--help"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "torpor: what it prints cannot be written: No space left on device\n")


def test_what_is_posted_must_be_a_cloudevent(tmp_path):
    path = tmp_path / "event.json"
    path.write_text(json.dumps({"specversion": "1.0", "type": "x"}))
    done = torpor("post", str(path))
    assert done.returncode == 1 and "it lacks the attribute 'id', 'source'" in done.stderr


def test_a_wrong_port_is_told():
    done = torpor("ps", TORPOR_IDLE_S="soon")
    assert done.returncode == 1 and "TORPOR_IDLE_S must be a number of seconds such as 10, got 'soon'" in done.stderr
    done = torpor("ps", TORPOR_PORT="http")
    assert done.returncode == 1 and "TORPOR_PORT must be a port between 1024 and 65500, got 'http'" in done.stderr


def test_the_doctor_finds_a_port_that_is_taken(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = torpor("doctor", TORPOR_STATE=str(tmp_path), TORPOR_PORT=str(port))
    assert done.returncode == 1 and f"port {port} (gateway) is taken" in done.stdout and "TORPOR_PORT=" in done.stdout
    assert "✓ Python" in done.stdout


def test_the_doctor_finds_a_model_server_that_is_not_there(tmp_path):
    done = torpor("doctor", TORPOR_STATE=str(tmp_path), TORPOR_PORT=str(row(7)), TORPOR_MODEL_URL="http://127.0.0.1:9/v1")
    assert done.returncode == 1 and "TORPOR_MODEL_URL" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there_for_every_shell(shell):
    done = torpor("completion", shell)
    assert done.returncode == 0 and "_TORPOR_COMPLETE" in done.stdout


def test_an_interrupt_while_the_command_is_being_loaded_shows_no_traceback():
    code = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    def find_spec(self, name, *_):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
import torpor
torpor.main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_an_interrupt_of_a_command_that_runs_is_left_to_the_command():
    code = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
import eventing.cli, torpor
eventing.cli.main = lambda: os.kill(os.getpid(), signal.SIGINT)
try:
    torpor.main()
except KeyboardInterrupt:
    print("cleaned up")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "cleaned up\n")
