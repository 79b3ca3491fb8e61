"""What is asked of a server when an answer must have a shape."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from inference.answers import response_format


class Place(BaseModel):
    name: str


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Journey(BaseModel):
    start: Place
    stops: list[Place]
    notes: dict[str, str]
    rest: Open


def objects(schema: Any) -> list[dict[str, Any]]:
    inside = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    found = [schema] if isinstance(schema, dict) and schema.get("type") == "object" else []
    return found + [inner for value in inside for inner in objects(value)]


def test_an_object_is_asked_for_without_properties_of_the_models_own() -> None:
    schema = response_format(Journey)["json_schema"]["schema"]
    taken = {found.get("title"): found["additionalProperties"] for found in objects(schema)}
    assert taken == {"Journey": False, "Place": False, "Open": True, "Notes": {"type": "string"}}
