"""What must be true of the contracts: strict, open to additions, described by draft-07 schemas that do not drift."""

import copy
import json
from uuid import uuid4

import pytest
from jsonschema import Draft7Validator, FormatChecker
from jsonschema.exceptions import ValidationError as SchemaError
from pydantic import ValidationError

import schemas
from schemas import ResearchQuery, UnknownEventError, contract_for, events
from schemas.evolution import breaks
from schemas.export import json_schema, problems, rendered

REFERENCE = {"request_id": "2f1c2f0e-7f52-4c3a-8e0a-3d1f9f2b7a10", "topic": "edge computing", "depth": 2}


def test_the_reference_example_is_taken():
    query = ResearchQuery.model_validate_json(json.dumps(REFERENCE | {"metadata": {"anything": [1, 2], "email": "a@b.c"}}))
    assert query.metadata.email == "a@b.c"
    assert query.model_dump()["metadata"]["anything"] == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 0}, {"depth": 6}, {"depth": "2"}, {"depth": 2.5}, {"topic": ""}, {"topic": 7}, {"request_id": "test-123"},
        {"metadata": []}, {"metadata": {"email": "a@b\r\nBcc: c@d"}}, {"metadata": {"sources": "../../etc"}},
        {"metadata": {"email": "no address"}},
    ],
)  # fmt: skip
def test_what_breaks_the_contract_breaks_the_schema_too(change):
    data = REFERENCE | change
    with pytest.raises(ValidationError):
        ResearchQuery.model_validate_json(json.dumps(data))
    validator = Draft7Validator(json_schema(ResearchQuery), format_checker=FormatChecker())
    with pytest.raises(SchemaError):
        validator.validate(data)


def test_a_reader_accepts_fields_that_a_newer_writer_adds():
    assert ResearchQuery.model_validate_json(json.dumps(REFERENCE | {"added_later": 1})).depth == 2


def test_contracts_are_frozen():
    query = ResearchQuery(request_id=uuid4(), topic="t", depth=1)
    with pytest.raises(ValidationError):
        query.topic = "other"


def test_every_event_is_found_by_its_type():
    assert all(contract_for(name).event == name for name in events())
    with pytest.raises(UnknownEventError, match=r"no contract for the event 'rumour'; known are: .*part_abandoned"):
        contract_for("rumour")


def test_committed_schemas_are_those_of_the_contracts_and_only_add_to_the_released_ones():
    assert problems() == []


def test_schemas_are_valid_draft_07():
    for text in rendered().values():
        schema = json.loads(text)
        assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
        Draft7Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda s: s["properties"].pop("topic"), "$.topic was removed"),
        (lambda s: s["required"].append("metadata"), "$.metadata became required"),
        (lambda s: s["properties"]["depth"].update(maximum=3), "$.depth: maximum went from 5 to 3"),
        (lambda s: s["properties"]["depth"].update(type="string"), "$.depth no longer takes integer"),
        (lambda s: s["properties"]["topic"].update(minLength=5), "$.topic: minLength went from 1 to 5"),
        (lambda s: s["definitions"]["RequestMetadata"]["properties"].pop("email"), "$.metadata.email was removed"),
    ],
)
def test_a_change_that_is_no_addition_is_found(edit, told):
    old = json_schema(ResearchQuery)
    new = copy.deepcopy(old)
    edit(new)
    assert any(told in problem for problem in breaks(old, new))


def test_an_addition_is_no_break():
    old = json_schema(ResearchQuery)
    new = copy.deepcopy(old)
    new["properties"]["language"] = {"type": "string", "default": "en"}
    new["properties"]["depth"]["maximum"] = 7
    assert breaks(old, new) == []


def test_the_room_shows_what_it_says():
    assert all(hasattr(schemas, name) for name in schemas.__all__)
