"""A web server on loopback that answers as a test says."""

import asyncio
from contextlib import asynccontextmanager

from aiohttp import web as http


@asynccontextmanager
async def serving(**routes):
    """A real server on loopback; `asked` lists the requests that it saw."""
    app, asked = http.Application(), []

    async def answer(request):
        asked.append(request)
        known = routes.get(request.path.strip("/").replace(".", "_").replace("/", "_") or "root")
        if known is None:
            return http.Response(status=404)
        made = known(request) if callable(known) else known
        return await made if asyncio.iscoroutine(made) else made

    app.router.add_get("/{path:.*}", answer)
    runner = http.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = http.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    try:
        yield base, asked
    finally:
        await runner.cleanup()
