"""What agents fetch from the web: public addresses alone, politely, within limits; whatever fails says why."""

import asyncio
import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web as http

from eventing.addresses import public
from eventing.errors import ConfigurationError
from eventing.runtime import Runtime
from eventing.web import FetchError, Web, origin
from tests.webserver import serving


def client(*bases, **changes):
    origins = frozenset(map(origin, bases))
    return Web("mail@example.org", origins, origins, **{"apart_s": 0.0} | changes)


def here(host, port):
    return ["127.0.0.1"]


def redirect(to):
    return lambda _: http.Response(status=302, headers={"Location": to})


async def test_an_answer_says_who_asked_and_where_it_came_from():
    async with serving(a=redirect("/b?x=1"), b=lambda _: http.json_response({"x": 1})) as (base, asked):
        found = await client(base).get(f"{base}/a")
    assert (found.url, found.data, found.media_type) == (f"{base}/b?x=1", b'{"x": 1}', "application/json")
    assert "mail@example.org" in asked[0].headers["User-Agent"]
    assert asked[0].headers["Host"] == base.removeprefix("http://")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_addresses_of_private_networks_are_known(address):
    assert not public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_public_addresses_are_known(address):
    assert public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1"])
async def test_nothing_private_is_asked_however_it_is_written(host):
    async with serving(root=http.Response(text="secret")) as (base, asked):
        with pytest.raises(FetchError, match=r"not on the public internet|not known"):
            await client().get(base.replace("127.0.0.1", host))
    assert asked == []


async def test_a_redirect_into_a_private_network_is_not_followed():
    async with serving(root=http.Response(text="secret")) as (inner, seen), serving(a=redirect(inner)) as (outer, _):
        with pytest.raises(FetchError, match="not on the public internet"):
            await client(outer).get(f"{outer}/a")
    assert seen == []


async def test_what_is_trusted_is_so_only_where_it_is_asked_itself():
    """No page, no link and no redirect reaches an API of a private network."""
    async with serving(root=http.Response(text="secret")) as (inner, seen), serving(a=redirect(inner)) as (outer, _):
        api, other = frozenset({origin(inner)}), frozenset({origin(outer)})
        web = Web("mail@example.org", api | other, other, apart_s=0.0)
        for ask in (web.page(inner), web.page(f"{outer}/a"), web.get(f"{outer}/a")):
            with pytest.raises(FetchError, match="not on the public internet"):
                await ask
        assert seen == []
        assert (await web.get(inner)).data == b"secret"


async def test_the_connection_goes_to_the_address_that_was_checked():
    """A name that resolves to a public address first and to a private one then never leads to the private one."""
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])
    made = []

    class Watched(Web):
        def _exchanged(self, url, address, *rest):
            made.append(address)
            raise OSError("nothing leaves this machine")

    web = Watched("mail@example.org", resolve=lambda *_: next(answers))
    with pytest.raises(FetchError, match="cannot be reached"):
        await web.get("http://rebinding.example/")
    with pytest.raises(FetchError, match="not on the public internet"):
        await web.get("http://rebinding.example/")
    assert made == ["93.184.215.14"]


async def test_one_private_address_among_public_ones_is_enough_to_refuse():
    web = client(resolve=lambda *_: ["93.184.215.14", "10.0.0.1"])
    with pytest.raises(FetchError, match="not on the public internet"):
        await web.get("http://both.example/")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.example/", "http://u:p@a.example/", "http://", "//a", "http://a:b/", "http://a b/", "x"])  # fmt: skip
async def test_what_is_no_plain_http_url_is_refused(url):
    with pytest.raises(FetchError, match=r"URL"):
        await client().get(url)


async def test_redirects_end():
    async with serving(
        a=redirect("/b"),
        b=redirect("/a"),
        f=redirect("file:///etc/passwd"),
        n=lambda r: redirect(f"/n?{r.query_string}x")(r),
    ) as (base, _):
        with pytest.raises(FetchError, match="in a circle"):
            await client(base).get(f"{base}/a")
        with pytest.raises(FetchError, match="more than 5 times"):
            await client(base).get(f"{base}/n")
        with pytest.raises(FetchError, match="no http or https"):
            await client(base).get(f"{base}/f")


async def test_a_large_answer_is_not_read_to_its_end_packed_or_not():
    packed = gzip.compress(b"0" * 5_000_000)
    bomb = http.Response(body=packed, headers={"Content-Encoding": "gzip"})
    async with serving(a=bomb, b=lambda _: http.Response(body=b"0" * 2_000_000)) as (base, _):
        for path in "ab":
            with pytest.raises(FetchError, match=r"more than 1\.0 MB"):
                await client(base, largest=1_000_000).get(f"{base}/{path}")


async def test_an_answer_that_drips_is_cut_off():
    async def drip(request):
        answer = http.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"x")
            await asyncio.sleep(0.02)

    async with serving(a=drip) as (base, _):
        with pytest.raises(FetchError, match=r"longer than 0\.3 s"):
            await client(base, seconds=0.3).get(f"{base}/a")


async def test_a_host_that_wants_rest_gets_it():
    async with serving(a=lambda _: http.Response(status=429, headers={"Retry-After": "100"})) as (base, asked):
        web = client(base)
        with pytest.raises(FetchError, match=r"429 \(too many requests\)"):
            await web.get(f"{base}/a")
        with pytest.raises(FetchError, match=r"left alone for another (100|99) s"):
            await web.get(f"{base}/b")
    assert len(asked) == 1


async def test_a_date_says_how_long_a_host_wants_rest():
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=200), usegmt=True)
    async with serving(a=lambda _: http.Response(status=503, headers={"Retry-After": when})) as (base, _):
        web = client(base)
        with pytest.raises(FetchError, match="503"):
            await web.get(f"{base}/a")
        with pytest.raises(FetchError, match=r"left alone for another (200|1\d\d) s"):
            await web.get(f"{base}/b")


async def test_a_url_may_be_written_in_any_script():
    word = lambda _: http.Response(text="words")  # noqa: E731
    async with serving(Zürich=word, r=redirect("/Zürich"), q=redirect("/Z%C3%BCrich?ö=ü%20")) as (base, asked):
        for path in ("Zürich", "Z%C3%BCrich", "r", "q"):
            assert (await client(base).page(f"{base}/{path}")).data == b"words"
        assert (await client(base).get(f"{base}/Zürich?ö=ü&a=b+c")).data == b"words"
        assert asked[-1].rel_url.raw_query_string == "%C3%B6=%C3%BC&a=b+c"
        port = base.rpartition(":")[2]
        named = Web("mail@example.org", frozenset({origin(f"http://zürich.example:{port}")}), apart_s=0.0, resolve=here)
        assert (await named.get(f"http://zürich.example:{port}/Zürich")).data == b"words"
        assert asked[-1].headers["Host"] == f"xn--zrich-kva.example:{port}"


@pytest.mark.parametrize(
    ("rules", "read"),
    [
        ("Disallow: /", False), ("Disallow: /private", True), ("", True), ("Disallow: /*", False), ("Disallow: /*a$", False),
        ("Allow: /\nDisallow: /a", False), ("Disallow: /\nAllow: /a", True), ("Disallow: /\n\nUser-agent: torpor\nDisallow:", True),
    ],
)  # fmt: skip
async def test_robots_txt_holds_for_pages(rules, read):
    robots = lambda _: http.Response(text=f"User-agent: *\n{rules}")  # noqa: E731
    async with serving(robots_txt=robots, a=lambda _: http.Response(text="words")) as (base, asked):
        web = client(base)
        for _ in range(2):
            if read:
                assert (await web.page(f"{base}/a")).data == b"words"
            else:
                with pytest.raises(FetchError, match=r"robots\.txt asks"):
                    await web.page(f"{base}/a")
    assert [r.path for r in asked].count("/robots.txt") == 1


async def test_pages_that_are_asked_at_once_ask_for_robots_txt_once():
    async with serving(a=lambda _: http.Response(text="a"), b=lambda _: http.Response(text="b")) as (base, asked):
        web = client(base)
        assert {found.data for found in await asyncio.gather(web.page(f"{base}/a"), web.page(f"{base}/b"))} == {b"a", b"b"}
    assert [r.path for r in asked].count("/robots.txt") == 1


async def test_a_byte_order_mark_and_age_do_not_undo_robots_txt(monkeypatch):
    robots = lambda _: http.Response(body=b"\xef\xbb\xbfUser-agent: *\nDisallow: /")  # noqa: E731
    monkeypatch.setattr("eventing.web.ROBOTS_S", -1.0)
    async with serving(robots_txt=robots, a=lambda _: http.Response(text="words")) as (base, asked):
        web = client(base)
        for _ in range(2):
            with pytest.raises(FetchError, match=r"robots\.txt asks"):
                await web.page(f"{base}/a")
    assert [r.path for r in asked] == ["/robots.txt"] * 2


async def test_without_robots_txt_a_page_is_read_and_with_a_broken_one_it_is_not():
    async with serving(a=lambda _: http.Response(text="words")) as (base, _):
        assert (await client(base).page(f"{base}/a")).data == b"words"
    async with serving(a=lambda _: http.Response(text="words"), robots_txt=lambda _: http.Response(status=500)) as (base, _):
        with pytest.raises(FetchError, match=r"robots\.txt cannot be had: it answered 500"):
            await client(base).page(f"{base}/a")


async def test_without_a_contact_nobody_is_asked():
    async with serving() as (base, asked):
        with pytest.raises(FetchError, match="TORPOR_SETTING_WEB_CONTACT"):
            await Web("", frozenset({origin(base)})).get(base)
    assert asked == []


async def test_garbage_and_silence_are_said():
    async def garbage(reader, writer):
        await reader.readline()
        writer.write(b"\x00\xff no http\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(FetchError, match="cannot be reached"):
        await client(base).get(base)
    server.close()
    await server.wait_closed()
    with pytest.raises(FetchError, match="cannot be reached"):
        await client(base).get(base)


def test_only_the_settings_origins_may_be_private():
    environ = {"TORPOR_SETTING_SEARXNG_URL": "http://searxng:8080/search", "TORPOR_SETTING_WEB_CONTACT": "a@b.c"}
    assert Runtime(environ).web.trusted == frozenset({"http://searxng:8080"})
    with pytest.raises(ConfigurationError, match="URL"):
        Runtime({"TORPOR_SETTING_SEARXNG_URL": "searxng"}).web  # noqa: B018
