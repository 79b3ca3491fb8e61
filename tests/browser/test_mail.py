"""The mail's HTML part in a browser: axe finds nothing, nothing sticks out, light and dark."""

import base64

import pytest

from eventing.testing import NOON
from functions.notifier.letter import letter
from tests.functions.test_notifier import complete, failure

pytestmark = pytest.mark.timeout(180)
LONG = "It has a key of 1184 bytes. " * 40
MAILS = {"report": complete(summary=LONG, abandoned=1), "word": complete(topic="x" * 110), "reason": failure(reason=LONG)}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 600, 1000])
@pytest.mark.parametrize("mail", MAILS)
async def test_the_mail_can_be_read_everywhere(tab, mail, width, dark):
    html = letter(MAILS[mail], "ada@example.org", NOON).get_body(("html",)).get_content()
    await tab.open("data:text/html;base64," + base64.b64encode(html.encode()).decode())
    await tab.looks(width, dark=dark)
    assert await tab.run("document.documentElement.scrollWidth") <= width
    paper = await tab.run("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(20, 23, 26)" if dark else "rgb(251, 250, 247)")
    assert [fault for fault in await tab.faults() if not fault.startswith(("region", "landmark"))] == []
