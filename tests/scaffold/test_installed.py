"""From an empty folder to one's own pipeline answering, with the package installed from its wheel and no clone beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from inference.testing import FakeServer
from tests.local.running import seven_ports, until

ROOT = Path(__file__).parents[2]
SITE = next(path for path in sys.path if path.endswith("site-packages"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a fresh environment, in which the wheel is installed; what it needs is borrowed from here."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("schemas", "eventing", "inference", "functions"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "torpor.py"):
        shutil.copy(ROOT / name, folder / "source")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [
        *pip,
        "wheel",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(folder / "source"),
    ]
    _run(build, folder)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv/bin/python"
    own = _run([str(python), "-c", "import site; print(site.getsitepackages()[0])"], folder).stdout.strip()
    (Path(own) / "borrowed.pth").write_text(SITE + "\n")
    wheel = next(folder.glob("torpor-*.whl"))
    _run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], folder)
    return python.parent


def _run(command: list[str], folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=kept | environ, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


@dataclass
class Project:
    """Somebody's project, its commands and its platform."""

    folder: Path
    commands: Path
    environ: dict[str, str]

    def run(self, command: str, *arguments: str) -> str:
        return _run([str(self.commands / command), *arguments], self.folder, **self.environ).stdout

    def begun(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(**self._call(command, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def _call(self, command: str, *arguments: str) -> dict[str, Any]:
        environ = {**os.environ, **self.environ}
        environ.pop("PYTHONPATH", None)
        return {"args": [str(self.commands / command), *arguments], "cwd": self.folder, "env": environ, "text": True}

    def fails(self, command: str, *arguments: str, code: int = 1) -> str:
        """What a command says that must not succeed."""
        done = subprocess.run(**self._call(command, *arguments), capture_output=True, timeout=110)
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return str(done.stdout + done.stderr)

    def taken_up(self, times: int) -> None:
        """Wait until the platform says for that many times that it took up what was saved."""
        log = self.folder / ".torpor/logs/platform.log"
        until(lambda: log.read_text().count("from the next event on") >= times, "the change is taken up")

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


@pytest.fixture
def project(installed: Path, tmp_path: Path) -> Iterator[Project]:
    with FakeServer() as model:
        environ = {"TORPOR_PORT": str(seven_ports()), "TORPOR_MODEL_URL": model.url, "TORPOR_IDLE_S": "20"}
        (tmp_path / "mine").mkdir()
        made = Project(tmp_path / "mine", installed, environ)
        yield made
        subprocess.run([str(installed / "torpor"), "down"], cwd=made.folder, env={**os.environ, **environ}, check=False)


def _python_lines(project: Project) -> int:
    files = [*project.folder.glob("functions/**/*.py"), *project.folder.glob("schemas/*.py")]
    return sum(1 for file in files for line in file.read_text().splitlines() if line.strip())


@pytest.mark.timeout(240)
def test_an_empty_folder_becomes_a_pipeline_that_answers_and_takes_up_what_is_saved(project: Project) -> None:
    begun = time.monotonic()
    said = project.run("torpor", "new", "workflow", "letters")
    assert _python_lines(project) <= 20
    assert "torpor up" in said and 'torpor ask "' in said
    assert "nothing is wrong" in project.run("torpor", "check")
    project.run("python", "-m", "unittest")
    project.run("torpor", "up", "--detach")
    answer = project.run("torpor", "ask", "Why do bats hibernate?")
    print(f"from nothing to the answer: {time.monotonic() - begun:.1f} s")
    assert "This is what the fake model says." in answer and "2 steps" in answer
    assert sorted(path.name for path in (project.folder / "manifests/letters").iterdir()) == [
        "brokers.yaml", "kustomization.yaml", "namespace.yaml", "policies.yaml", "services.yaml", "sources.yaml",
        "topics.yaml", "triggers.yaml",
    ]  # fmt: skip
    assert '"functions": {\n    "drafter"' in project.run("torpor", "ps", "--json")

    project.edit("functions/editor/agent.py", "    return Answer(request_id=draft.request_id, text=text)",
                 "    return Answer(request_id=draft.request_id, text='edited anew')")  # fmt: skip
    project.taken_up(1)
    assert "edited anew" in project.run("torpor", "ask", "Why do bats hibernate?")

    project.edit("functions/editor/agent.py", "    return Answer(", "    import time\n\n    time.sleep(2)\n    return str(")
    project.edit("functions/editor/agent.py", "request_id=draft.request_id, text='edited anew'", "draft")
    project.taken_up(2)
    told = project.fails("torpor", "ask", "Why do bats hibernate?")
    assert (
        "agent editor answered a str (functions/editor/agent.py:6); edit may answer Answer(...), which is letters_answers"
        in told
    )
    log = (project.folder / ".torpor/logs/platform.log").read_text()
    assert "functions/editor/agent.py changed: editor from the next event on" in log
    assert "agent editor blocks its process at functions/editor/agent.py:10" in log


@pytest.mark.timeout(240)
def test_an_agent_that_is_saved_broken_is_told_and_one_that_is_added_later_works(project: Project) -> None:
    agent, told = "functions/editor/agent.py", "functions/editor/agent.py:7: is no Python: invalid syntax"
    project.run("torpor", "new", "workflow", "letters")
    project.run("torpor", "up", "--detach")
    project.edit(agent, "text = await", "text == = await")
    project.taken_up(1)
    with project.begun("torpor", "ask", "Why do bats hibernate?") as asking:
        assert asking.stderr is not None
        assert asking.stderr.readline() == f"{told}; what waits for it goes on once it is mended\n"
        assert told in project.run("torpor", "ps")
        project.edit(agent, "text == = await", "text = await")
        said, _ = asking.communicate(timeout=60)
        assert asking.returncode == 0 and "This is what the fake model says." in said and "2 steps" in said
    until(lambda: told not in project.run("torpor", "ps"), "nothing is wrong any more")
    until(lambda: "; 0 events waiting; " in project.run("torpor", "ps"), "of all that may wait is known that nothing does")

    another = replace(project, folder=project.folder.parent / "another")
    another.folder.mkdir()
    another.run("torpor", "new", "workflow", "songs")
    for command in (("ask", "Why do bats hibernate?"), ("ps",), ("up", "--detach")):
        refused = another.fails("torpor", *command, code=3)
        assert f"is that of {project.folder}, not of {another.folder}" in refused and "TORPOR_PORT" in refused

    said = project.run("torpor", "new", "agent", "translator")
    assert "The platform runs with the workflow as it was: `torpor down` and `torpor up` take the new step up." in said
    outdated = "letters.yaml changed: the platform goes by what it was; `torpor down` and `torpor up` take it up"
    until(lambda: outdated in project.run("torpor", "ps"), "the platform says that its workflow changed")
    project.edit("letters.yaml", "\nsteps:", "\nstep:")
    assert "letters.yaml lacks a line that begins with `steps:`" in project.fails("torpor", "check")
    assert "drafter" in project.run("torpor", "ps") and "stopped" in project.run("torpor", "down")
    project.edit("letters.yaml", "\nstep:", "\nsteps:")
    project.run("torpor", "up", "--detach")
    assert "3 steps" in project.run("torpor", "ask", "Why do bats hibernate in caves?")


def test_a_new_agent_is_the_new_last_step_and_passes_as_made(project: Project) -> None:
    project.run("torpor", "new", "workflow", "letters")
    said = project.run("torpor", "new", "agent", "translator")
    assert "3 steps, 3 agents" in said and "nothing is wrong" in said
    project.run("python", "-m", "unittest")
    text = (project.folder / "letters.yaml").read_text()
    assert "ends: [translator_done, request_failed]  # a request ends" in text
    told = project.fails("torpor", "new", "agent", "translator")
    assert "there is translator already" in told
    project.run("torpor", "new", "agent", "listener", "--takes", "letters_drafts")
    assert "offers: [listener_done]" in (project.folder / "letters.yaml").read_text()
    project.run("python", "-m", "unittest")


def test_up_refuses_what_check_refuses_and_starts_nothing(project: Project) -> None:
    project.run("torpor", "new", "workflow", "letters")
    project.edit("functions/editor/agent.py", "-> Answer", "-> Draft")
    for command in (("check",), ("up",), ("up", "--detach")):
        told = project.fails("torpor", *command)
        assert "functions/editor/agent.py:6: step edit of letters.yaml waits for letters_answers (Answer)" in told
    assert not (project.folder / ".torpor/run").exists() or not list((project.folder / ".torpor/run").glob("*.json"))


def test_a_folder_that_is_in_use_is_not_written_over(project: Project) -> None:
    project.run("torpor", "new", "workflow", "letters")
    assert "has a workflow already, letters.yaml" in project.fails("torpor", "new", "workflow", "songs")
    assert "cannot be a name" in project.fails("torpor", "new", "workflow", "Größe!")
    assert "'class' cannot be a name: it is a word of Python's own" in project.fails("torpor", "new", "workflow", "class")
    assert "there is tracker already" in project.fails("torpor", "new", "agent", "tracker")
    assert "has no event ;" in project.fails("torpor", "new", "agent", "finder", "--takes", "")
    assert "nothing is wrong" in project.run("torpor", "check")
