"""`python -m eventing.deployment images|deploy [FUNCTION ...]`: what `make images` and `make deploy` run."""

from __future__ import annotations

import argparse
import os
import sys

from eventing.checking import examine
from eventing.deployment import engines, images
from eventing.deployment.deploying import deploy
from eventing.deployment.errors import DeploymentError
from eventing.project import PACKAGE, is_checkout


def main(arguments: list[str]) -> int:
    """Exit code 1 with the reason when it could not be done."""
    given = _parser().parse_args(arguments)
    try:
        if not is_checkout():
            raise DeploymentError("images are built in a checkout of the repository")
        (PACKAGE / "build").mkdir(exist_ok=True)
        os.chdir(PACKAGE)
        if problems := examine(PACKAGE, None).problems:
            raise DeploymentError("\n".join(str(problem) for problem in problems))
        if given.what == "deploy":
            deploy(given.functions, _say)
        else:
            engine = engines.find(os.environ)
            made = images.make(engine, given.functions, given.registry, given.tag, given.base, given.push, _say)
            _say(f"{len(made)} images: {', '.join(made.values())}")
    except DeploymentError as error:
        print(f"torpor: {error}", file=sys.stderr)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m eventing.deployment", description="Images and functions")
    parser.add_argument("what", choices=["images", "deploy"])
    parser.add_argument("functions", nargs="*", help="their names; default: all")
    parser.add_argument("--registry", default="", help="registry and path, such as registry.example.com/team")
    parser.add_argument("--tag", default="latest")
    parser.add_argument("--base", default="", help="a base image with Python 3.11 or newer; default: the Containerfile's")
    parser.add_argument("--push", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
