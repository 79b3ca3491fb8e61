"""An event is the same event in every form on the wire; what is none is told why."""

import json
from urllib.parse import unquote

import cloudevents.abstract
import pytest
from cloudevents import conversion

from eventing.envelope import (
    STRUCTURED,
    Event,
    from_json,
    from_record,
    from_request,
    to_json,
    to_record,
    to_request,
    written,
)
from eventing.errors import NotACloudEventError, UnsupportedMediaTypeError
from eventing.ids import digest

BASE = {
    "specversion": "1.0",
    "id": "1",
    "source": "/agents/ü %",
    "type": "summary_ready",
    "datacontenttype": "application/json",
}
BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x", "ce-type": "t"}
EVENTS = [
    Event(BASE | {"part": "2", "time": "2026-01-01T00:00:00+00:00"}, '{"a":"ä€😀","n":[1,2.5,null]}'.encode()),
    Event({k: v for k, v in BASE.items() if k != "datacontenttype"}),
    Event(BASE | {"datacontenttype": "text/plain", "subject": 'quote " and % and \\'}, b"\xff\x00 bytes"),
    Event(BASE | {"datacontenttype": "application/vnd.x+json", "emptyish": "0"}, b'{"a":1}'),
]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_survives_every_form(event):
    assert from_request(*to_request(event)) == event
    assert from_request({"Content-Type": STRUCTURED}, to_json(event)) == event
    assert from_record(*to_record(event)) == event
    assert from_record([("content-type", STRUCTURED.encode())], None, to_json(event)) == event


def test_header_values_are_percent_encoded_as_the_binding_wants():
    headers, _ = to_request(EVENTS[0])
    assert headers["ce-source"] == "/agents/%C3%BC %25"


def test_the_key_of_a_record_is_the_partition_key_both_ways():
    headers, key, value = to_record(EVENTS[0].having(partitionkey="abc"))
    assert key == b"abc"
    assert from_record([h for h in headers if h[0] != "ce_partitionkey"], b"abc", value).get("partitionkey") == "abc"


def test_a_foreign_target_version_header_is_mapped():
    headers, key, value = to_record(EVENTS[0])
    assert from_record([*headers, ("target_version", b"canary")], key, value).get("targetversion") == "canary"


def test_the_layout_of_json_changes_neither_data_nor_digest():
    spaced = {**BASE, "data": {"b": 1, "a": [1, 2]}}
    event = from_json(json.dumps(spaced, indent=4))
    assert event.data == b'{"b":1,"a":[1,2]}'
    assert digest(event) == digest(Event(BASE, b' { "a":[1,2],  "b":1 }'))
    assert digest(event) != digest(Event(BASE, b'{"a":[2,1],"b":1}'))


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        ({}, b"{}", "neither a `ce-specversion` header"),
        ({"content-type": STRUCTURED}, b"{", "is no JSON"),
        ({"content-type": STRUCTURED}, b"[]", "is a JSON object, got list"),
        ({"content-type": STRUCTURED}, b"{}", "specversion"),
        ({"content-type": STRUCTURED}, json.dumps(BASE | {"source": ""}).encode(), "'source' must be a non-empty string"),
        (
            {"content-type": STRUCTURED},
            json.dumps(BASE | {"Bad_Name": "1"}).encode(),
            "must be lower-case letters and digits only",
        ),
        ({"content-type": STRUCTURED}, json.dumps(BASE | {"specversion": "0.3"}).encode(), "'specversion' must be '1.0'"),
        (
            {"content-type": STRUCTURED},
            json.dumps(BASE | {"part": {"a": 1}}).encode(),
            "'part' must be a string, an integer",
        ),
        ({"content-type": STRUCTURED}, b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than 100 deep"),
        ({"content-type": STRUCTURED}, b'{"data": ' + b'"[{' * 100_000, "is no JSON"),
        ({"content-type": STRUCTURED}, json.dumps(BASE | {"data": float("nan")}).encode(), "NaN is no JSON"),
        ({"content-type": STRUCTURED}, json.dumps(BASE | {"data": "\ud800"}).encode(), "no Unicode"),
        ({"content-type": STRUCTURED}, json.dumps(BASE | {"data": 0}).replace("0}", "1e999}").encode(), "a number larger"),
        ({"content-type": STRUCTURED}, json.dumps(BASE | {"id": "\ud800"}).encode(), "'id' holds '\\ud800'"),
        ({"content-type": STRUCTURED}, json.dumps(BASE | {"datacontenttype": "a/b\r\nX: y"}).encode(), "holds '\\r'"),
        ({"ce-specversion": "1.0", "ce-id": "1%0A2", "ce-source": "/x", "ce-type": "t"}, b"", "'id' holds '\\n'"),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/x"}, b"", "type"),
        ({**BINARY, "ce-": "1"}, b"", "attribute name '' must be lower-case"),
        ({**BINARY, "ce-a_b": "1"}, b"", "attribute name 'a_b' must be lower-case"),
        ({**BINARY, "ce-data": "1"}, b"", "attribute name 'data' cannot be taken"),
        ({**BINARY, "ce-extensions": "1"}, b"", "attribute name 'extensions' cannot be taken"),
        ({"content-type": STRUCTURED}, json.dumps(BASE | {"extensions": "1"}).encode(), "'extensions' cannot be taken"),
        ({"ce-specversion": "9.9", "ce-id": "1", "ce-source": "/x", "ce-type": "t"}, b"", "9.9"),
    ],
)
def test_what_is_no_cloudevent_is_told(headers, body, told):
    with pytest.raises(NotACloudEventError) as caught:
        from_request(headers, body)
    assert told in str(caught.value)


def test_a_batch_is_refused():
    with pytest.raises(UnsupportedMediaTypeError):
        from_request({"content-type": "application/cloudevents-batch+json"}, b"[]")


def test_a_key_that_is_no_text_makes_an_attribute_that_every_form_can_carry():
    headers, _, value = to_record(EVENTS[0])
    event = from_record(headers, b"\x00\xff\n", value)
    assert from_request(*to_request(event)) == event


@pytest.mark.parametrize(
    "value", ["soon", "2026-01-01T00:00:00", "12", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
def test_a_time_without_its_offset_is_told(value):
    with pytest.raises(NotACloudEventError, match="'deadline' must be an RFC 3339 timestamp with its offset"):
        Event(BASE | {"deadline": value}).moment("deadline")


def test_data_in_base64_is_decoded_and_told_where_it_is_none():
    assert from_json(json.dumps(BASE | {"data_base64": "AP8="})).data == b"\x00\xff"
    for wrong in ({"data_base64": "?"}, {"data_base64": 7}, {"data_base64": "AP8=", "data": 1}):
        with pytest.raises(NotACloudEventError, match="data_base64"):
            from_json(json.dumps(BASE | wrong))


class Plain(cloudevents.abstract.CloudEvent):
    """An event as the SDK's codecs want it, which invents nothing."""

    def __init__(self, attributes, data):
        self._attributes, self._data = dict(attributes), data

    @classmethod
    def create(cls, attributes, data):
        return cls(attributes, data)

    def _get_attributes(self):
        return self._attributes

    def get_data(self):
        return self._data


@pytest.mark.parametrize("event", EVENTS)
def test_the_sdk_reads_what_is_written_and_is_read(event):
    def same(data):
        return data

    headers, body = to_request(event)
    read = conversion.from_http(Plain, headers, body, data_unmarshaller=same)
    assert {k: unquote(v) for k, v in read.get_attributes().items()} == event.attributes
    assert (read.get_data() or None) == event.data

    headers, body = conversion.to_binary(read, data_marshaller=same)
    assert from_request(headers, body or b"") == event

    told = json.loads(to_json(event))
    sdk = json.loads(conversion.to_structured(Plain(event.attributes, told.get("data", event.data)), same)[1])
    assert told == {name: value for name, value in sdk.items() if value is not None}


ODD = (
    b' {"b": 1, "a": "\\u00e4"} ',
    b"{no JSON",
    b"null",
    b'"\\ud800"',
    b"[1e999, 1]",
    b"NaN",
    b'{"a": 1e-7, "b": 10000000000000000000000}',
)


@pytest.mark.parametrize("event", [*EVENTS, *(Event(BASE, data) for data in ODD)])
def test_what_is_written_says_what_is_read_again(event):
    text, as_it_is_read = written(event)
    assert from_json(text) == as_it_is_read
