"""Sources of the web: what each answers becomes pages; what is garbage, empty or refused is said, and the rest goes on."""

import json
from urllib.parse import parse_qs

import pytest
from aiohttp import web as http

from eventing.testing import context, memory_bucket
from eventing.web import Web, origin
from functions.research_assistant import sources
from functions.research_assistant.agent import handle
from functions.research_assistant.sources import openalex
from inference.testing import FakeModel
from schemas import PartAbandoned, RequestMetadata, SummaryReady
from tests.functions.conftest import question
from tests.webserver import serving

ASKED = "How large are the keys of the otter cipher?"
TOLD = "The otter cipher has a public key of 1184 bytes and a ciphertext of 1088 bytes."
WIKIPEDIA = {"batchcomplete": True, "query": {"pages": [
    {"pageid": 2, "ns": 0, "title": "Cipher", "index": 2, "extract": "A cipher is a way to encrypt.", "fullurl": "https://en.wikipedia.org/wiki/Cipher"},
    {"pageid": 1, "ns": 0, "title": "Otter cipher", "index": 1, "extract": TOLD, "fullurl": "https://en.wikipedia.org/wiki/Otter_cipher"},
]}}  # fmt: skip
OPENALEX = {"meta": {"count": 1}, "results": [{
    "id": "https://openalex.org/W1", "doi": "https://doi.org/10.1/otter", "display_name": "On Otters", "publication_year": 2024,
    "authorships": [{"author": {"display_name": "Ada Otter"}}, {"author": {"display_name": "Ben Beaver"}}],
    "abstract_inverted_index": {"Otters": [0], "have": [1, 4], "keys;": [2], "voles": [3], "none.": [5]},
}]}  # fmt: skip
ARXIV = """<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"><title>Query</title><entry>
<id>http://arxiv.org/abs/2401.00001v1</id><published>2024-01-02T00:00:00Z</published><title>Otter\n  keys</title>
<summary> Keys of the otter cipher have 1184 bytes. </summary><author><name>Ada Otter</name></author></entry></feed>"""


def answers(wikipedia=None, openalex=None, arxiv=None, **more):
    return {
        "w": lambda _: http.json_response(wikipedia if wikipedia is not None else WIKIPEDIA),
        "o": lambda _: http.json_response(openalex if openalex is not None else OPENALEX),
        "a": lambda _: http.Response(text=arxiv or ARXIV, content_type="application/atom+xml"),
        **more,
    }


def settings(base, **more):
    return {"wikipedia_url": f"{base}/w", "openalex_url": f"{base}/o", "arxiv_url": f"{base}/a", "searxng_url": base, **more}


def client(base):
    web = Web("mail@example.org", frozenset({origin(base)}), frozenset({origin(base)}), apart_s=0.0)
    web.apart = []

    async def get(url, *, apart_s=0.0):
        web.apart.append(apart_s)
        return await Web.get(web, url)

    web.get = get
    return web


async def looked(base, *names, asked=ASKED, **more):
    return await sources.looked(names, asked, client(base), settings(base, **more))


async def test_wikipedia_answers_articles_the_best_first():
    async with serving(**answers()) as (base, seen):
        found = await looked(base, "wikipedia")
    assert [(p.title, p.url) for p in found.pages] == [
        ("Otter cipher", "https://en.wikipedia.org/wiki/Otter_cipher"),
        ("Cipher", "https://en.wikipedia.org/wiki/Cipher"),
    ]
    assert found.pages[0].text == TOLD
    assert parse_qs(seen[0].query_string)["gsrsearch"] == ["keys OR otter OR cipher"]


async def test_openalex_answers_abstracts_with_their_authors_and_year():
    async with serving(**answers()) as (base, seen):
        (found,) = (await looked(base, "openalex", openalex_key="k")).pages
    assert (found.url, found.title, found.authors, found.year) == (
        "https://doi.org/10.1/otter", "On Otters", "Ada Otter, Ben Beaver", 2024,
    )  # fmt: skip
    assert found.text == "Otters have keys; voles have none."
    assert seen[0].query["api_key"] == "k"


async def test_arxiv_is_asked_no_faster_than_it_wishes():
    async with serving(**answers()) as (base, _):
        web = client(base)
        (found,) = (await sources.looked(("arxiv",), ASKED, web, settings(base))).pages
    assert web.apart == [3.0]
    assert (found.url, found.title, found.authors, found.year) == (
        "http://arxiv.org/abs/2401.00001v1",
        "Otter keys",
        "Ada Otter",
        2024,
    )


async def test_pages_that_searxng_finds_are_read_and_those_that_cannot_be_are_named():
    def results(request):
        base = f"http://{request.host}"
        urls = [f"{base}/good", f"{base}/gone", f"{base}/picture", "http://10.0.0.1/inner", 7, None]
        return http.json_response({"results": [{"url": url} for url in urls] + ["x"]})

    page = f"<html><head><title>Keys</title></head><body><p>{TOLD}</p></body></html>"
    routes = {
        "search": results,
        "good": lambda _: http.Response(text=page, content_type="text/html"),
        "picture": lambda _: http.Response(body=b"\x89PNG", content_type="image/png"),
    }
    async with serving(**routes) as (base, _):
        found = await looked(base, "searxng")
    assert [(p.url, p.title, TOLD in p.text) for p in found.pages] == [(f"{base}/good", "Keys", True)]
    assert found.unread == {
        f"{base}/gone": "it answered 404 (not there)",
        f"{base}/picture": "it is image/png, not HTML, PDF or text",
        "http://10.0.0.1/inner": "its robots.txt cannot be had: 10.0.0.1 is not on the public internet; such addresses are not asked",
    }


async def test_pages_that_are_broken_do_not_keep_the_others():
    routes = {
        "broken": lambda _: http.Response(body=b"%PDF-1.4 broken", content_type="application/pdf"),
        "latin": lambda _: http.Response(body="Schlüssel des Otters".encode("latin-1"), content_type="text/plain"),
        "good": lambda _: http.Response(text=TOLD),
    }
    async with serving(**routes) as (base, _):
        found = await looked(base, "pages", pages=f"{base}/broken {base}/latin {base}/good {base}/good")
    assert [page.url for page in found.pages] == [f"{base}/good"]
    assert "no PDF that can be read" in found.unread[f"{base}/broken"]
    assert "not UTF-8" in found.unread[f"{base}/latin"]


@pytest.mark.parametrize("status", [429, 500, 403])
async def test_a_source_that_refuses_is_said_and_the_rest_goes_on(status):
    refusing = answers(w=lambda _: http.Response(status=status))
    async with serving(**refusing) as (base, _), serving(**answers()) as (other, _):
        web = Web("mail@example.org", frozenset({origin(base), origin(other)}), apart_s=0.0)
        told = settings(base) | {"openalex_url": f"{other}/o"}
        found = await sources.looked(("wikipedia", "openalex"), ASKED, web, told)
    assert [page.title for page in found.pages] == ["On Otters"]
    assert f"answered {status}" in found.unread["wikipedia"]


GARBAGE = [b"", b"\xff\xfe", b"<html>", b"null", b"[]", b'"x"', b"1e999", b"{" * 100_000, b"[" * 100_000]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("name", ["wikipedia", "openalex", "arxiv", "searxng"])
async def test_garbage_is_said(name, garbage):
    same = lambda _: http.Response(body=garbage)  # noqa: E731
    async with serving(w=same, o=same, a=same, search=same) as (base, _):
        found = await looked(base, name)
    assert found.pages == ()
    assert found.unread[name].startswith("it answered")


SHAPES = [
    {}, {"query": []}, {"query": {"pages": {}}}, {"query": {"pages": [1, None, {"title": 5}, {"extract": "x", "fullurl": "javascript:x"}]}},
    {"results": [1, None, {"authorships": 3, "abstract_inverted_index": {"a": 1, "b": [-1, "x", 10**9]}}]}, {"results": {"url": 1}},
]  # fmt: skip


@pytest.mark.parametrize("told", SHAPES, ids=str)
async def test_answers_of_another_shape_find_nothing(told):
    same = lambda _: http.json_response(told)  # noqa: E731
    async with serving(w=same, o=same, search=same) as (base, _):
        found = await looked(base, "wikipedia", "openalex", "searxng")
    assert (found.pages, dict(found.unread)) == ((), {})


async def test_xml_that_declares_entities_is_not_parsed():
    bomb = '<!DOCTYPE x [<!ENTITY a "aa">]>' + ARXIV
    async with serving(**answers(arxiv=bomb)) as (base, _):
        assert "declarations" in (await looked(base, "arxiv")).unread["arxiv"]


async def test_what_is_not_set_or_not_known_is_said():
    async with serving(**answers()) as (base, _):
        found = await looked(base, "pages", "gossip", "wikipedia", asked="How is it?")
        unset = await sources.looked(("searxng",), ASKED, client(base), {})
    assert "no word" in found.unread["wikipedia"]
    assert "there are wikipedia, arxiv" in found.unread["gossip"]
    assert "TORPOR_SETTING_SEARXNG_URL" in unset.unread["searxng"]


def test_a_place_beyond_all_abstracts_is_left_out():
    assert openalex.abstract({"a": [0], "b": [10**12], "c": [True, 1]}) == "a c"


def web_question(**changes):
    return question(metadata=RequestMetadata(**changes))


async def answered(base, bucket, *, web="wikipedia", asked=None, model=None, **more):
    told = settings(base, web=web)
    ctx = context(model or FakeModel(lambda _: ""), bucket=bucket, settings=told, web=client(base), **more)
    return await handle(asked or web_question(), ctx)


async def test_claims_cite_what_the_web_says():
    async with serving(**answers()) as (base, _):
        found = await answered(base, memory_bucket(), web="wikipedia, openalex")
    assert isinstance(found, SummaryReady)
    assert found.passages[0].source.id == "https://en.wikipedia.org/wiki/Otter_cipher"
    assert (found.collection.name, found.collection.documents) == ("web", 3)
    assert {claim.passage for claim in found.claims} <= {passage.id for passage in found.passages}


async def test_collection_and_web_are_searched_together(bucket):
    async with serving(**answers(w=lambda _: http.Response(status=500))) as (base, _):
        found = await answered(base, bucket, asked=question())
    assert any("otter.md" in passage.source.id for passage in found.passages)
    assert "it answered 500" in {entry.path: entry.reason for entry in found.collection.unread}["wikipedia"]


async def test_what_was_found_serves_the_next_request_unless_it_wants_to_look_anew(bucket):
    async with serving(**answers()) as (base, seen):
        first = await answered(base, bucket, asked=web_question())
        again = await answered(base, bucket, asked=web_question())
        assert (len(seen), again.passages) == (1, first.passages)
        anew = await answered(base, bucket, asked=web_question(fresh=True))
        assert (len(seen), anew.passages) == (2, first.passages)


async def test_another_request_finds_what_was_learnt_although_its_own_search_finds_nothing(bucket):
    async with serving(**answers()) as (base, _):
        await answered(base, bucket)
    async with serving(**answers(wikipedia={})) as (base, _):
        near = question("Which bytes does an otter cipher take?", metadata=RequestMetadata())
        found = await answered(base, bucket, asked=near)
        alone = await answered(base, bucket, asked=near.model_copy(update={"metadata": RequestMetadata(fresh=True)}))
    assert TOLD in [passage.text for passage in found.passages]
    assert isinstance(alone, PartAbandoned)
    assert alone.reason == "nothing was found on this question in the 0 documents that were read"


async def test_another_list_of_pages_is_read_and_the_same_one_is_not_read_again(bucket):
    page = lambda told: lambda _: http.Response(text=f"<p>{told}</p>", content_type="text/html")  # noqa: E731

    async def read(base, name, asked):
        told = settings(base, web="pages", pages=f"{base}/{name}")
        found = await handle(asked, context(FakeModel(lambda _: ""), bucket=bucket, settings=told, web=client(base)))
        return [passage.source.id for passage in found.passages]

    other = question("What does the otter cipher cost?", metadata=RequestMetadata())
    async with serving(one=page(TOLD), two=page(f"{TOLD} It costs 2 euros.")) as (base, seen):
        assert await read(base, "one", web_question()) == [f"{base}/one"]
        assert await read(base, "two", web_question()) == [f"{base}/two"]
        asked = len(seen)
        assert await read(base, "two", other) == [f"{base}/two"]
        assert len(seen) == asked


async def test_what_is_no_text_is_read_without_it():
    """Halves of surrogate pairs, which JSON can say and nothing can store."""
    odd = {
        **WIKIPEDIA["query"]["pages"][1],
        "title": "Otter\ud800",
        "extract": TOLD + "\udfff",
        "fullurl": "https://a.example/\ud800",
    }
    odd = {"query": {"pages": [odd]}}
    async with serving(**answers(wikipedia=odd)) as (base, _):
        found = await answered(base, memory_bucket(), web="wikipedia")
    assert [passage.source.id for passage in found.passages] == ["https://a.example/"]
    assert SummaryReady.model_validate_json(found.model_dump_json()) == found


async def test_a_step_that_is_run_again_reads_what_it_read_before(bucket):
    """Whatever others learnt in between: the search is remembered with the step."""
    async with serving(**answers()) as (base, seen):
        ctx = context(FakeModel(lambda _: ""), bucket=bucket, settings=settings(base, web="wikipedia"), web=client(base))
        first = await handle(web_question(fresh=True), ctx)
        again = await handle(web_question(fresh=True), ctx)
    assert (again, len(seen)) == (first, 1)


async def test_a_failed_search_is_made_again(bucket):
    async with serving(**answers(w=lambda _: http.Response(status=500))) as (base, _):
        assert isinstance(await answered(base, bucket), PartAbandoned)
    async with serving(**answers()) as (base, _):
        assert isinstance(await answered(base, bucket), SummaryReady)
    assert json.loads((await bucket.get((await bucket.keys("evidence/state"))[0])).decode())["looks"]
