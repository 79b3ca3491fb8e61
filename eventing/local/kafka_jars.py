"""Resolve Apache Kafka's jars: `python -P kafka_jars.py COORDINATES WORK [--try]`; they lie in WORK/kafka then.

With `--try` only their description is fetched, to see whether the repository can be reached.

A program of its own, so that it can be ended in the middle of a download; it imports nothing of Torpor.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(coordinates: str, work: Path, only_try: bool) -> int:
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=work / "repository", timeout=60)
    builder = EnvironmentBuilder(context=context, cache_dir=work / "environments", link_strategy=LinkStrategy.COPY)
    try:
        if only_try:
            group, artifact, version = coordinates.split(":")
            context.project(group, artifact).at_version(version).artifact(packaging="pom").resolve()
            return 0
        found = builder.from_endpoint(coordinates).path
    except Exception as error:  # the resolver raises whatever its HTTP library raises
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    Path(found).replace(work / "kafka")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:] == ["--try"]))
