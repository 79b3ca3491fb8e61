"""What Kubernetes and vLLM say to a manifest: JSON in by standard input, JSON out; runs in vLLM's environment.

In: {"resources": [...], "arguments": [[...], ...]}. Out: what is wrong with each resource (null: nothing), and what vLLM's
own parser makes of each list of arguments (null: it refuses them).
"""

import json
import sys
from typing import Any

import kubernetes_validate
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser


def wrong(resource: dict[str, Any]) -> str | None:
    try:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error).partition("\n")[0]
    return None


def parsed(arguments: list[str]) -> dict[str, Any] | None:
    parser = make_arg_parser(FlexibleArgumentParser())
    try:
        options = parser.parse_args(arguments)
        validate_parsed_serve_args(options)
    except (SystemExit, ValueError):
        return None
    return {
        name: value if isinstance(value, int | float | str | list) else str(value) for name, value in vars(options).items()
    }


if __name__ == "__main__":
    given = json.load(sys.stdin)
    found = {"resources": [wrong(it) for it in given["resources"]], "arguments": [parsed(it) for it in given["arguments"]]}
    json.dump(found, sys.stdout)
