"""JSON Schemas (draft-07) made from the contracts: `python -m schemas.export [--check]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from schemas.contract import EventData, every_event
from schemas.evolution import breaks

JSON = Path(__file__).parent / "json"
RELEASED = Path(__file__).parent / "released"


def json_schema(contract: type[EventData]) -> dict[str, Any]:
    """The draft-07 schema of one contract."""
    schema = contract.model_json_schema(ref_template="#/definitions/{model}")
    if definitions := schema.pop("$defs", None):
        schema["definitions"] = definitions
    return {"$schema": "http://json-schema.org/draft-07/schema#", "$id": contract.dataschema(), **schema}


def rendered() -> dict[str, str]:
    """File name -> text, of every contract's schema."""
    return {
        f"{name}.v{contract.version}.json": json.dumps(json_schema(contract), indent=2, sort_keys=True) + "\n"
        for name, contract in every_event().items()
        if contract.__module__.startswith("schemas.")
    }


def problems() -> list[str]:
    """What is wrong with the committed schemas: drift from the models, or a change that is no addition."""
    found = []
    for name, text in rendered().items():
        path = JSON / name
        if not path.exists() or path.read_text() != text:
            found.append(f"{path.name} differs from its contract: run `make schemas`")
        released = RELEASED / name
        if released.exists():
            old, new = json.loads(released.read_text()), json.loads(text)
            found += [f"{name}: {problem}" for problem in breaks(old, new)]
    found += [f"{path.name} belongs to no contract" for path in JSON.glob("*.json") if path.name not in rendered()]
    return found


def main(arguments: list[str]) -> int:
    """Write the schemas, or with `--check` say what is wrong with them and return 1."""
    if "--check" in arguments:
        found = problems()
        print("\n".join(found) or f"{len(rendered())} schemas agree with their contracts and with the released ones")
        return 1 if found else 0
    JSON.mkdir(exist_ok=True)
    for name, text in rendered().items():
        (JSON / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
