"""The commands, each a few lines over the module that does it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import click

from eventing.cli import asking, gateway, opening, project
from eventing.cli.errors import CommandError, NotRunningError
from eventing.cli.request_id import RequestId
from eventing.local.errors import LocalPlatformError

_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Every error that somebody thought of is told in its own words, without a traceback."""
        from eventing.errors import EventingError

        try:
            return super().invoke(ctx)
        except (LocalPlatformError, EventingError) as error:
            raise CommandError(str(error)) from error


def _scenarios(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from eventing.chaos.scenario import names

    return [name for name in names() if name.startswith(incomplete)]


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="torpor")
def main() -> None:
    """Multi-agent LLM workflows as event-driven functions that sleep until an event wakes them.

    Exit codes: 0 done, 1 failed (the reason is told), 2 wrong usage, 3 the platform is not there.
    """


@main.group()
def new() -> None:
    """Make a workflow, or an agent of one, that runs as made."""


@new.command("workflow")
@click.argument("name")
def new_workflow(name: str) -> None:
    """Make the current folder a project: a pipeline of two agents called NAME, its contracts, its tests."""
    from eventing.cli import authoring

    authoring.new_workflow(name)


@new.command("agent")
@click.argument("name")
@click.option("--takes", metavar="EVENT", help="The event that it takes; what a request ends with if not given.")
def new_agent(name: str, takes: str | None) -> None:
    """Make an agent NAME: its folder, its contract, its step in the workflow, its test."""
    from eventing.cli import authoring

    authoring.new_agent(project.config(), name, takes)


@main.command()
def check() -> None:
    """Say everything that is wrong with workflow, func.yaml files and agents, each with its line and its mend."""
    from eventing.cli import checking

    checking.check(project.config())


@main.command()
@click.option("--sources", type=_FOLDER, help="Folder of documents that requests use which name none.")
@click.option("--detach", is_flag=True, help="Return once it is up; stop it with `torpor down`.")
@click.option("--stamped", is_flag=True, hidden=True, help="Put the time before each line: for a log.")
def up(sources: Path | None, detach: bool, stamped: bool) -> None:
    """Start the platform on this machine: Kafka, the model, the agents' sleeping places."""
    from eventing.cli import checking, platform, stamping

    if stamped:
        stamping.stamp()
    chosen = project.config()
    if not detach:
        checking.prepare(chosen)
    platform.up(chosen, sources, detach)


@main.command()
def down() -> None:
    """Stop the platform and everything that it started; what is on disk stays."""
    from eventing.cli import platform

    platform.down(project.config(whole=False))


def _addressed(_: click.Context, __: click.Parameter, address: str | None) -> str | None:
    if address is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
        raise click.BadParameter(f"an e-mail address such as me@example.org is meant, got {address!r}")
    return address


def _asked(_: click.Context, __: click.Parameter, topic: str) -> str:
    if not topic.strip():
        raise click.UsageError("TOPIC is empty: write what is asked, in quotes")
    return topic


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def ps(as_json: bool) -> None:
    """Show each agent, asleep or awake, its wakes and lag, what is tried again, and how many dead letters wait."""
    from eventing.cli import standing

    standing.ps(project.config(whole=False), as_json)


@main.command()
@click.argument("topic", callback=_asked)
@click.option("--depth", default=2, show_default=True, type=click.IntRange(1, 5), help="How many sub-questions.")
@click.option("--to", "email", callback=_addressed, help="Address that the report's link is mailed to.")
@click.option("--sources", type=_FOLDER, help="Folder of documents: Markdown, text, HTML, PDF.")
@click.option("--fresh", is_flag=True, help="Ask the web anew: use nothing found for earlier requests, keep nothing.")
@click.option(
    "--wait",
    "wait_s",
    default=1800,
    show_default=True,
    type=click.IntRange(1),
    help="Seconds to wait for news before giving up.",
)
@click.option("--json", "as_json", is_flag=True, help="Every event as a line of JSON, the end last.")
@click.option("--tokens", is_flag=True, help="With --json: what the models say, too, as they say it.")
def ask(
    topic: str, depth: int, email: str | None, sources: Path | None, fresh: bool, wait_s: int, as_json: bool, tokens: bool
) -> None:
    """Ask for a report on TOPIC and watch it being made."""
    from eventing.cli import platform, watching

    if tokens and not as_json:
        raise click.UsageError("--tokens goes with --json; on a terminal the picture shows what the models say")
    chosen = project.config()
    here = project.elsewhere() is None
    if here:
        platform.refuse_another(chosen)
    url = project.gateway_url(chosen)
    collection = None
    if sources is not None:
        collection = platform.put_documents(chosen, sources, quiet=as_json)
    request_id = asking.post(url, topic, depth, email, collection, fresh)
    if not as_json:
        asking.say(f"request {request_id}")
    look = (lambda: platform.status(chosen)) if here else None
    try:
        story = watching.follow(url, request_id, wait_s, look, as_json, tokens)
    except KeyboardInterrupt:
        raise CommandError(f"the request goes on without you: see `torpor trail {request_id}`") from None
    if not story.complete:
        raise CommandError(f"the request failed: {story.why}")
    if not as_json:
        end = f"report: {story.state['link']}" if story.state.get("link") else opening.answer(url, request_id)
        asking.say(f"{end}   ({asking.cost(story)})")


@main.command()
@click.argument("event", type=click.Path(path_type=Path, allow_dash=True))
def post(event: Path) -> None:
    """Post a CloudEvent, structured JSON in a file or `-`, to the broker of its type."""
    from eventing.envelope import STRUCTURED, from_json, to_json
    from eventing.publishing import broker_of

    try:
        body = sys.stdin.buffer.read() if str(event) == "-" else event.read_bytes()
    except OSError as error:
        raise CommandError(f"{event} cannot be read: {error.strerror}") from error
    given = from_json(body)
    chosen = project.config(whole=False)
    url = f"http://127.0.0.1:{chosen.ports.platform}/{chosen.namespace}/{quote(broker_of(given.type), safe='')}"
    gateway.call("POST", url, to_json(given), {"Content-Type": STRUCTURED})
    asking.say(f"{given.type} {given.id} was taken by the broker {broker_of(given.type)}")


@main.command()
@click.option("--last", "most", default=10, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Every request as a line of JSON, with its whole id.")
def requests(most: int, as_json: bool) -> None:
    """Show what was asked lately, the newest first, and what became of it."""
    from eventing.cli import history

    history.show(project.config(), most, as_json)


@main.command()
@click.argument("request_id", type=RequestId())
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def trail(request_id: UUID, as_json: bool) -> None:
    """Show every event of a request, in order, with ids, times and causes."""
    from eventing.cli import trails

    found = gateway.call("GET", f"{project.gateway_url(project.config(whole=False))}/research/{request_id}/trail")
    asking.say(found.decode().strip() if as_json else trails.table(json.loads(found)))


@main.command()
@click.option("--agent", help="Those of one agent.")
@click.option("--request", type=RequestId(), help="Those of one request.")
@click.option("--all", "sent", is_flag=True, help="Those that were sent again, too.")
@click.option("--json", "as_json", is_flag=True, help="Every letter as a line of JSON.")
def dead(agent: str | None, request: UUID | None, sent: bool, as_json: bool) -> None:
    """Show the dead letters that wait: what nobody could handle, why, and what was paid already."""
    from eventing.cli import dead, standing

    chosen = project.config(whole=False)
    dead.show(project.gateway_url(chosen), agent, request, sent, as_json)
    if not as_json and (told := standing.retrying(chosen)):
        asking.say(f"{told}: a dead letter comes of what still fails at the end of its retries")


@main.command()
@click.argument("request_id", type=RequestId(), required=False)
@click.option("--all", "every", is_flag=True, help="Every request of which dead letters wait; no other failed one.")
@click.option("--agent", help="Every request that waits because this agent failed.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@click.option("--json", "as_json", is_flag=True, help="What was sent, a line of JSON a request.")
def redrive(request_id: UUID | None, every: bool, agent: str | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Send a request on from where it failed: nothing that was done is done or paid for again.

    Dead letters go to the agent that failed. A request that has failed, or of which parts were abandoned, goes on as a new
    edition, with a deadline, a token budget and a mail of its own.
    """
    from eventing.cli import redriving

    if (request_id is not None) + every + (agent is not None) != 1:
        raise click.UsageError("name one: REQUEST_ID, --all, or --agent A")
    how = redriving.How(project.gateway_url(project.config(whole=False)), dry_run, as_json)
    if request_id is not None:
        how.send(str(request_id))
    else:
        redriving.every(how, agent, asked=yes or agent is not None)


@main.command()
@click.argument("target", metavar="FILE|REQUEST_ID")
@click.option("--documents", type=click.Path(exists=True, file_okay=False), help="Look passages up in this folder, too.")
@click.option("--digest", default="", help="SHA-256 that the record must have; of a request its last event says it.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def audit(target: str, documents: str | None, digest: str, as_json: bool) -> None:
    """Check a report by its record (/report/ID.evidence.json), and say what was altered. A file is checked offline.

    Exit code 1 when something is wrong.
    """
    from eventing.cli import auditing

    options = [*(["--documents", documents] if documents else []), *(["--json"] if as_json else [])]
    if Path(target).is_file():
        sys.exit(auditing.audit_file(Path(target), digest, options))
    try:
        request_id = RequestId().convert(target, None, None)
    except click.BadParameter as error:
        raise CommandError(f"{target} is neither a file nor the id of a request") from error
    sys.exit(auditing.audit(request_id, project.gateway_url(project.config(whole=False)), digest, options))


@main.command()
def mail() -> None:
    """Show the mails that arrived."""
    from eventing.cli import platform

    platform.mail(project.config(whole=False))


@main.command()
def doctor() -> None:
    """Check this machine: Python, packages, disk, folders, ports, downloads; say how to mend what is wrong."""
    from eventing.cli import examination

    if not examination.run(project.config()):
        sys.exit(1)


@main.command()
@click.argument("scenario", default="quick", shell_complete=_scenarios)
@click.option("--running", is_flag=True, help="Strike the platform that runs, not one of the run's own.")
@click.option("--cluster", metavar="CONTEXT", help="Strike Torpor's pods on the cluster of this kubectl context.")
@click.option("--kubeconfig", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The same, by its file.")
@click.option("--namespace", default="torpor", show_default=True, help="On the cluster, of agents and scheduler.")
@click.option("--kafka-namespace", default="kafka", show_default=True, help="On the cluster, of the brokers.")
@click.option("--models-namespace", default="torpor-models", show_default=True, help="On the cluster, of the model server.")
@click.option("--gateway", metavar="URL", help="Of the cluster's gateway; what Knative tells, if it is not given.")
@click.option(
    "--bootstrap", metavar="HOST:PORT", help="Of the cluster's Kafka, for the promises that only its records show."
)
@click.option("--scheduler", metavar="URL", help="Of the cluster's scheduler, for accounts and model calls.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report, the picture and the run's own platform.")
@click.option("--seed", type=int, help="Of the random moments and victims.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def chaos(scenario: str, running: bool, out: Path | None, seed: int | None, as_json: bool, **cluster: Any) -> None:
    """Run SCENARIO, a file or a name that is shipped: requests under faults, and a verdict on what was promised.

    Exit code 1 when a promise was broken.
    """
    from eventing.cli import chaos as running_chaos

    asked, where = running_chaos.Asked(scenario, out, seed, as_json), running_chaos.where(**cluster)
    if running and where:
        raise click.UsageError("name one: --running, or --cluster or --kubeconfig")
    if not running_chaos.run(project.config(), asked, running, where):
        sys.exit(1)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL, for instance: eval "$(torpor completion bash)"."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    asking.say(found(main, {}, "torpor", "_TORPOR_COMPLETE").source())


@main.command()
@click.option("--topic", callback=_asked, default="How ready are we for quantum-resistant cryptography?", show_default=True)
@click.option("--depth", default=2, show_default=True, type=click.IntRange(1, 5))
@click.option("--sources", type=_FOLDER, help="Folder of documents; the example collection if not given.")
@click.option("--keep", is_flag=True, help="Leave the platform running.")
def demo(topic: str, depth: int, sources: Path | None, keep: bool) -> None:
    """Start everything, ask one question, show the report and the mail, and put all agents to sleep again."""
    from eventing.cli import demonstration

    demonstration.run(project.config(), topic, depth, sources, keep)


__all__ = ["NotRunningError", "main"]
