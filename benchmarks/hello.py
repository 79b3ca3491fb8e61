"""A bare function: what functions-framework alone costs."""

import functions_framework.aio
from starlette.responses import Response


@functions_framework.aio.http
async def function(request):  # type: ignore[no-untyped-def]
    await request.body()
    return Response(status_code=204)
