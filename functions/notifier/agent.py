"""Sends the link, or the reason why there is none, to the address that the request named."""

from datetime import datetime

from eventing import Context, agent
from functions.notifier.letter import letter
from schemas import ResearchComplete, ResearchFailed


@agent("notifier")
async def handle(event: ResearchComplete | ResearchFailed, ctx: Context) -> None:
    """One mail an edition of a request; without an address there is nothing to do."""
    if not event.metadata.email:
        return

    async def now() -> str:
        return ctx.clock().isoformat()

    written = datetime.fromisoformat(await ctx.once("date", now))
    await ctx.mail.send(letter(event, event.metadata.email, written, ctx.key.edition))
