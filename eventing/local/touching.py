"""A function's readiness, as Serving answers it: asking wakes the function, and is answered once it is awake."""

from __future__ import annotations

from aiohttp import web

from eventing.local.functions import Functions
from eventing.local.ingress import problem
from eventing.local.instance import FunctionUnavailableError


def routes(functions: Functions) -> list[web.AbstractRouteDef]:
    """GET /functions/NAME/health/readiness."""

    async def touched(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in functions:
            return problem(404, "No such function", f"there is no function {name[:80]!r}")
        try:
            async with functions[name].request():
                return web.Response(text="ok\n")
        except FunctionUnavailableError as error:
            return problem(503, error.title, str(error))

    return [web.get("/functions/{name}/health/readiness", touched)]
