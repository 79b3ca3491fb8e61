"""What `torpor check` finds: each fault with its file, its line and its mend; whatever the project's code does, it returns."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from eventing.checking import examine
from eventing.project import PACKAGE
from eventing.scaffold import new_project

AGENT = "functions/editor/agent.py"
FUNC = "functions/editor/func.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    new_project("letters", tmp_path)
    return tmp_path


def told(project: Path) -> list[str]:
    return [str(problem) for problem in examine(project, project / "letters.yaml").problems]


def edit(project: Path, path: str, old: str, new: str) -> None:
    text = (project / path).read_text()
    assert old in text, old
    (project / path).write_text(text.replace(old, new))


def test_what_was_made_and_this_repository_are_sound(project: Path) -> None:
    assert told(project) == []
    assert examine(PACKAGE, None).problems == ()


@pytest.mark.parametrize(
    ("path", "old", "new", "expected"),
    [
        (AGENT, "-> Answer", "-> Draft", f"{AGENT}:6: step edit of letters.yaml waits for letters_answers (Answer), it answers Draft"),
        (AGENT, "draft: Draft", "draft: Answer", f"{AGENT}:6: step edit of letters.yaml gives it letters_drafts (Draft), it takes Answer: add it to the type of `draft`"),
        (AGENT, "-> Answer", "-> Answer | Draft", f"{AGENT}:6: may answer letters_drafts (Draft), which no step of it"),
        (AGENT, "-> Answer", "-> list[Answer]", f"{AGENT}:6: returns several events, but no step of it in letters.yaml has `fan_out: N`"),
        (AGENT, "async def", "def", f"{AGENT}:7: is no Python: 'await' outside async function"),
        (AGENT, "-> Answer:", "-> str:", f"{AGENT}:6: agent 'editor': str is no contract; annotate with classes from `schemas`"),
        (AGENT, "handle(", "handel(", f"{AGENT}:1: has no `handle`: write `@agent(\"editor\")` above `async def handle("),
        (AGENT, '@agent("editor")\n', "", f"{AGENT}:5: its `handle` was not made by @agent"),
        (AGENT, '@agent("editor")', '@agent("writer")', f"{AGENT}:6: is @agent('writer') in the folder editor: one name for both"),
        (AGENT, "import Context", "import Contxt", f"{AGENT}:1: ImportError when it is imported: cannot import name 'Contxt'"),
        (AGENT, "from eventing", "import nowhere_at_all\nfrom eventing", f"{AGENT}:1: imports nowhere_at_all, which is not there: install it"),
        (AGENT, "text = await", "text == = await", f"{AGENT}:7: is no Python: invalid syntax"),
        (AGENT, "\n\n@agent", "\n\nNUMBER = 1 / 0\n\n\n@agent", f"{AGENT}:5: ZeroDivisionError when it is imported: division by zero"),
        (AGENT, "\n\n@agent", "\n\nraise SystemExit(3)\n\n\n@agent", f"{AGENT}:5: ends the process when it is imported"),
        (AGENT, "\n\n@agent", "\n\nimport os\nos._exit(3)\n\n\n@agent", f"{AGENT}:1: importing it ended the process with code 3"),
        ("schemas/letters.py", "text: str", "text: strr", "schemas/letters.py:"),
        ("schemas/letters.py", '"letters_answers"', '"Letters Answers"', "schemas/letters.py:12: event='Letters Answers': a topic's name is lower-case"),
        ("schemas/letters.py", '"letters_answers"', '"research_results"', "schemas/letters.py:12: DuplicateEventError when it is imported: the event 'research_results' has a contract already"),
        ("letters.yaml", "agent: editor", "agent: edtior", "letters.yaml:15: step edit: there is no folder functions/edtior: make it, or mend the name"),
        ("letters.yaml", "answers: [letters_drafts]", "answers: [letters_draft]", "letters.yaml:12: letters_draft has no contract in schemas/"),
        ("letters.yaml", "agent: drafter\n", "agent: drafter\n    fan_out: 3\n", "letters.yaml:13: step draft: letters_drafts (Draft) needs a field `part: int`, which part it is"),
        ("letters.yaml", "ends: [letters_answers, request_failed]", "ends: [letters_answers]", "letters.yaml:4: no end says that a request failed: add request_failed"),
        ("letters.yaml", "time_limit: 2m", "time_limit: 3m", f"{FUNC}:17: TORPOR_TIME_LIMIT_S is 120, but step edit of the workflow has 180 s: write '180'"),
        (FUNC, "name: editor\n", "name: editer\n", f"{FUNC}:2: name: must be editor, the folder's name with dashes, got 'editer'"),
        (FUNC, "value: editor", "value: writer", f"{FUNC}:13: TORPOR_AGENT: must be editor"),
        (FUNC, "value: '120'", "value: 120", f"{FUNC}:17: TORPOR_TIME_LIMIT_S: must be text, write it in quotes: '120'"),
        (FUNC, "functions/main.py", "functions/mian.py", f"{FUNC}:11: FUNCTION_SOURCE: there is no file functions/mian.py"),
        (FUNC, "  envs:", "  envs: {", f"{FUNC}:8: is no YAML"),
        (FUNC, "invoke:", "invok:", f"{FUNC}:5: invok: there is no such key; did you mean invoke?"),
        (FUNC, "max: 4", "maxx: 4", f"{FUNC}:48: deploy.options.scale.maxx: there is no such key; did you mean max?"),
        (FUNC, "healthEndpoints:", "probes:", "deploy.probes: there is no such key; known: namespace, image,"),
        ("letters.yaml", "deadline:", "dedline:", "letters.yaml:5: dedline: there is no such key; did you mean deadline?"),
        ("letters.yaml", "budget_tokens: 20000", "budget_tokens: lots", "letters.yaml:6: budget_tokens: must be a whole number, got 'lots'"),
        (FUNC, "min: 0", "min: 9", f"{FUNC}:47: deploy.options.scale: min 9 is more than max 4"),
        (FUNC, "max: 4", "max: 99999999999999999999", f"{FUNC}:48: deploy.options.scale.max: must be a number of processes, 1000 at the most"),
        (FUNC, "name: editor\n", "name: editor\nname: editor\n", f"{FUNC}:3: name: stands twice, in line 2 too: only one can hold"),
        ("letters.yaml", "  edit:\n", "  draft:\n", "letters.yaml:14: draft: stands twice, in line 9 too: only one can hold"),
        ("letters.yaml", "budget_tokens: 20000", "budget_tokens: true", "letters.yaml:6: budget_tokens: must be a whole number, got True"),
        ("letters.yaml", "budget_tokens: 20000", f"budget_tokens: 1{'0' * 30}", "letters.yaml:6: budget_tokens: Input should be less than or equal to 1000000000000"),
        ("letters.yaml", "deadline: 10m", "deadline: 99999999999999999999h", "letters.yaml:5: deadline: must be a year at the most, got '99999999999999999999h'"),
        ("schemas/letters.py", "    text: str", "    request_id: int\n    text: str", "request_id: must stay the UUID that every contract has: remove it"),
    ],
)  # fmt: skip
def test_each_fault_is_told_with_its_line_and_its_mend(project: Path, path: str, old: str, new: str, expected: str) -> None:
    edit(project, path, old, new)
    found = told(project)
    assert any(expected in one for one in found), "\n".join(found)


def test_everything_is_told_at_once(project: Path) -> None:
    edit(project, AGENT, "-> Answer", "-> Draft")
    edit(project, FUNC, "min: 0", "min: 9")
    (project / "functions/idle").mkdir()
    (project / "functions/drafter/func.yaml").unlink()
    found = told(project)
    for expected in (AGENT, f"{FUNC}:47", "functions/idle:1: has no agent.py", "functions/drafter:1: has no func.yaml"):
        assert any(one.startswith(expected) for one in found), "\n".join(found)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    time_limit: 2m", "    time_limt: 2m", "steps.draft.time_limt: there is no such key; did you mean time_limit?"),
        ("\nsteps:", "\nmore: [\nsteps:", "is no YAML: did not find expected ',' or ']'"),
        ("\nsteps:", "\n\tmore: 1\nsteps:", "is no YAML: found character that cannot start any token"),
    ],
)
def test_one_fault_of_a_workflow_file_is_told_once(project: Path, old: str, new: str, expected: str) -> None:
    text = (project / "letters.yaml").read_text()
    (project / "letters.yaml").write_text(text.replace(old, new, 1))
    found = [one for one in told(project) if one.startswith("letters.yaml")]
    assert len(found) == 1 and re.match(rf"letters.yaml:\d+: {re.escape(expected)}", found[0]), "\n".join(found)


@pytest.mark.parametrize("what", ["pass", "print('x' * 1000)"])
def test_an_import_that_never_ends_is_told_with_its_line(project: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setenv("TORPOR_IMPORT_LIMIT_S", "1")
    edit(project, AGENT, "\n\n@agent", f"\n\nwhile True:\n    {what}\n\n\n@agent")
    begun = time.monotonic()
    found = told(project)
    assert time.monotonic() - begun < 10
    assert any(
        one.startswith((f"{AGENT}:5: importing it takes longer than 1 s", f"{AGENT}:6: importing")) for one in found
    ), found


def test_what_an_import_says_is_told_up_to_a_length(project: Path) -> None:
    edit(project, AGENT, "\n\n@agent", "\n\nraise ValueError('so ' * 100_000)\n\n\n@agent")
    (found,) = told(project)
    assert found.startswith(f"{AGENT}:5: ValueError when it is imported: so so") and len(found) < 600


@pytest.mark.parametrize("content", [b"\xff\xfe\x00name", None])
def test_a_func_yaml_that_is_no_text_is_told(project: Path, content: bytes | None) -> None:
    (project / FUNC).unlink()
    if content:
        (project / FUNC).write_bytes(content)
    else:
        (project / FUNC).mkdir()
    (found,) = told(project)
    assert found == f"{FUNC}:1: {'is not UTF-8: save it as that' if content else 'cannot be read: Is a directory'}"


def test_a_folder_that_would_hide_the_package_is_told(project: Path) -> None:
    (project / "schemas/__init__.py").write_text("")
    (project / "schemas/research.py").write_text("")
    found = told(project)
    assert any(
        "schemas/__init__.py:1: remove it: the folder extends the installed package `schemas`" in one for one in found
    )


def test_a_name_that_the_package_has_is_told(project: Path) -> None:
    (project / "schemas/research.py").write_text("")
    (project / "functions/editor").rename(project / "functions/planner")
    edit(project, "functions/planner/agent.py", '"editor"', '"planner"')
    found = "\n".join(told(project))
    assert "schemas/research.py:1: the package has a module schemas.research: name yours otherwise" in found
    assert "the package has an agent planner, which is found instead: put an empty __init__.py beside this file" in found
