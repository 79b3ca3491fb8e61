"""The report's page in a browser: axe finds nothing in any form, keyboard and print work, the policy holds."""

from uuid import UUID

import pytest

from eventing.testing import REQUEST, context
from functions.formatter.agent import handle
from inference.testing import FakeModel
from schemas import PartAbandoned, ResearchResult
from tests.browser.results import full
from tests.functions.conftest import HOSTILE, summary

pytestmark = pytest.mark.timeout(180)
FORMS = {
    "desktop": {"width": 1280},
    "desktop, dark": {"width": 1280, "dark": True},
    "phone": {"width": 360, "height": 740, "scale": 2},
    "phone, dark": {"width": 360, "height": 740, "scale": 2, "dark": True},
    "print": {"width": 794, "media": "print"},
}


async def served(site, made) -> str:
    address, store = site
    await handle(made, context(FakeModel([]), bucket=store))
    return f"{address}/report/{made.request_id}"


def empty() -> ResearchResult:
    given_up = PartAbandoned(**dict(summary(topic=HOSTILE, question=HOSTILE)), reason=HOSTILE)
    return ResearchResult(request_id=REQUEST, topic=HOSTILE, parts=(given_up,))


@pytest.fixture(scope="module")
async def url(site):
    return await served(site, full(UUID(int=7, version=4)))


@pytest.mark.parametrize("form", FORMS)
async def test_axe_finds_nothing(tab, site, url, form):
    for address in (url, await served(site, empty())):
        await tab.open(address)
        await tab.looks(**FORMS[form])
        await tab.run("document.querySelectorAll('details').forEach(details => details.open = true)")
        assert await tab.faults() == []


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
async def test_nothing_sticks_out(tab, url, width):
    await tab.open(url)
    await tab.looks(width)
    assert await tab.run("document.documentElement.scrollWidth") <= width


async def test_a_citation_opens_the_quoted_passage_with_its_context(tab, url):
    await tab.open(url)
    await tab.looks()
    assert await tab.run("document.querySelector('details[open]') === null")
    await tab.run("document.querySelector('.lede a').click()")
    opened = "document.querySelector('details[open]')"
    assert await tab.run(f"{opened}.querySelector('mark').textContent") == (
        "A hybrid combines a classical and a post-quantum mechanism."
    )
    shown = await tab.run(f"{opened}.querySelector('figure').innerText")
    for told in ("Idea › Definition", "Two mechanisms can be combined.", "The order in which", "notes/hybrid.md"):
        assert told in shown
    assert "page 7" in await tab.run("document.querySelector('#p2').textContent")


async def test_the_keyboard_reaches_and_opens_everything(tab, url):
    await tab.open(url)
    await tab.looks()
    reached = []
    for _ in range(8):
        await tab.press("Tab", 9)
        reached.append(await tab.run("document.activeElement.matches('.skip') ? 'skip' : document.activeElement.tagName"))
    assert reached[:2] == ["skip", "A"]
    assert "SUMMARY" in reached
    while await tab.run("document.activeElement.tagName") != "SUMMARY":
        await tab.press("Tab", 9)
    await tab.press("Enter", 13, "\r")
    assert await tab.run("document.activeElement.parentElement.open")


async def test_print_shows_every_passage(tab, url):
    await tab.open(url)
    await tab.looks(794, media="print")
    heights = "[...document.querySelectorAll('figure')].map(figure => figure.getBoundingClientRect().height)"
    assert all(height > 40 for height in await tab.run(heights))
    assert (await tab.printed()).startswith(b"%PDF")


async def test_the_policy_lets_the_style_in_and_nothing_else(tab, url):
    await tab.open(url)
    said = [event for event in tab.events if event.get("method") == "Log.entryAdded"]
    assert not [entry["params"]["entry"]["text"] for entry in said if "favicon" not in str(entry)]
    assert await tab.run("getComputedStyle(document.querySelector('.kicker')).textTransform") == "uppercase"
    loaded = [
        event["params"]["request"]["url"] for event in tab.events if event.get("method") == "Network.requestWillBeSent"
    ]
    assert {address for address in loaded if "favicon" not in address} == {url}
    blocked = "new Promise(told => { document.addEventListener('securitypolicyviolation', e => told(e.violatedDirective));"
    script = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); })"
    assert (await tab.run(blocked + script)).startswith("script-src")
    assert await tab.run("window.ran === undefined")


async def test_the_other_forms_are_linked(tab, url):
    await tab.open(url)
    links = await tab.run("[...document.querySelectorAll('.forms a')].map(a => a.href)")
    assert links == [f"{url}.{ending}" for ending in ("pdf", "md", "json", "bib", "csl.json", "evidence.json")]
