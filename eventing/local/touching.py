"""A function's readiness, as Serving answers it: asking wakes the function, and is answered once it is awake."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from eventing.http import problem
from eventing.local.functions import Functions
from eventing.local.instance import FunctionUnavailableError


def routes(functions: Functions) -> list[BaseRoute]:
    """GET /functions/NAME/health/readiness."""

    async def touched(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in functions:
            return problem({"title": "No such function", "status": 404, "detail": f"there is no function {name[:80]!r}"})
        try:
            async with functions[name].request():
                return PlainTextResponse("ok\n")
        except FunctionUnavailableError as error:
            return problem(error.problem())

    return [Route("/functions/{name}/health/readiness", touched)]
