"""What functions-framework serves for the gateway: its routes."""

from __future__ import annotations

import asyncio
import json
import os
from functools import cache, partial
from typing import Any
from uuid import UUID

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from eventing import ids, telemetry
from eventing.apis import OPENAPI, routes
from eventing.envelope import from_request
from eventing.errors import StepConflictError, UnsupportedMediaTypeError
from eventing.function import answer_standing, failed, prepare_soon, woken
from eventing.http import body_of, problem
from eventing.runtime import Runtime
from eventing.state import notes
from functions.accounts import Desk
from functions.gateway import admission, citing, letters, opening, printing, reading, redriving, streaming

BODY_BYTES = 256 * 1024

telemetry.start("gateway", os.environ)


@cache
def _runtime() -> Runtime:
    return Runtime(os.environ)


@cache
def _desk() -> Desk:
    return Desk.of(_runtime().environ)


@functions_framework.aio.http
async def function(request: Request) -> Response:
    """Route one request; every error is answered as problem+json."""
    if (standing := answer_standing(request)) is not None:
        return standing
    allowed = []
    path = _path(request.url.path.rstrip("/") or "/")
    for route in routes.ROUTES:
        if match := route.pattern.fullmatch(path):
            if request.method == route.method:
                return await _answered(route.name, request, match.groupdict().get("id", ""))
            allowed.append(route.method)
    if allowed:
        return problem(
            {"title": "Method not allowed", "status": 405, "detail": f"{request.url.path} takes {', '.join(allowed)}"},
            {"Allow": ", ".join(allowed)},
        )
    return problem(
        {"title": "Not found", "status": 404, "detail": f"no such path: {request.url.path[:200]}; GET / lists them"}
    )


def _path(path: str) -> str:
    """A path as the table has it: `/requests` and `/<name of the workflow>` are for any workflow what `/research` is."""
    first, slash, rest = path[1:].partition("/")
    known = {route.path[1:].partition("/")[0] for route in routes.ROUTES}
    if first == "requests" or (first not in known and first == _runtime().workflow.name):
        return f"/research{slash}{rest}"
    return path


async def _answered(name: str, request: Request, request_id: str) -> Response:
    try:
        about = partial(_attributes, request, woken("gateway", request) is not None)
        with telemetry.span(f"{request.method} {name}", request.headers, "server", about) as span:
            answer = await _HANDLERS[name](request, request_id)
            span.set({"http.response.status_code": answer.status_code})
    except Exception as error:
        return failed("gateway", error, None)
    telemetry.REQUESTS.add("gateway", "success")
    return answer


def _attributes(request: Request, coldstart: bool) -> dict[str, Any]:
    """Span attributes by OpenTelemetry's conventions for HTTP and FaaS."""
    return {
        "http.request.method": request.method,
        "url.path": request.url.path,
        "faas.name": "gateway",
        "faas.trigger": "http",
        "faas.coldstart": coldstart,
    }


async def _ask(request: Request, _: str) -> Response:
    content_type = request.headers.get("content-type", "application/json").split(";")[0].strip()
    # curl -d says application/x-www-form-urlencoded whatever the body is; the body decides.
    if content_type not in ("application/json", "application/x-www-form-urlencoded"):
        raise UnsupportedMediaTypeError(f"send application/json, got {content_type[:80]}")
    asked = admission.parsed(await body_of(request, BODY_BYTES), _runtime())
    return _accepted(await admission.admit(asked, _runtime(), _desk()))


async def _event(request: Request, _: str) -> Response:
    event = from_request(request.headers, await body_of(request, BODY_BYTES))
    return _accepted(await admission.admit_event(event, _runtime(), _desk()))


async def _intake(request: Request, _: str) -> Response:
    """A record of the inbox topic, brought by its KafkaSource: plain JSON, or a CloudEvent that passed through."""
    event = from_request(request.headers, await body_of(request))
    try:
        if event.type == _runtime().workflow.opens:
            await admission.admit_event(event, _runtime(), _desk())
        else:
            given = admission.parsed(event.data or b"", _runtime())
            await admission.admit(given, _runtime(), _desk(), ids.request_id_of(event.source, event.id))
    except admission.RequestTakenError as error:  # a broker tries a 409 again, and the partition waits meanwhile
        raise StepConflictError(str(error)) from error
    return Response(status_code=204)


def _accepted(request_id: UUID) -> Response:
    return _taken(json.dumps({"request_id": str(request_id)}), request_id)


def _taken(body: str, request_id: UUID) -> Response:
    where = f"/{routes.collection_of(_runtime().workflow)}/{request_id}"
    return Response(f"{body}\n", 202, {"Location": where}, media_type="application/json")


async def _opening(_: Request, __: str) -> Response:
    body = json.dumps(opening.asked(opening.contract(_runtime())).model_json_schema())
    return Response(body + "\n", media_type="application/schema+json")


async def _answer(_: Request, request_id: str) -> Response:
    return Response(json.dumps(await opening.answer(UUID(request_id), _runtime())) + "\n", media_type="application/json")


async def _state(_: Request, request_id: str) -> Response:
    state = await reading.state(UUID(request_id), _runtime())
    return Response(state.model_dump_json() + "\n", media_type="application/json")


async def _trail(_: Request, request_id: str) -> Response:
    events = await reading.trail(UUID(request_id), _runtime())
    body = json.dumps([{**event.attributes, "notes": notes(event)} for event in events])
    return Response(body + "\n", media_type="application/json")


async def _progress(request: Request, request_id: str) -> Response:
    await reading.state(UUID(request_id), _runtime())
    last, lasts_s = request.headers.get("last-event-id"), streaming.lasts(_runtime().time_limit_s)
    stream = streaming.progress(UUID(request_id), _runtime(), _desk(), last, lasts_s)
    # Proxies that gather answers (nginx) pass this one on as it comes.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _report(request: Request, request_id: str) -> Response:
    page = await reading.report(UUID(request_id), "html", _edition(request), _runtime())
    return Response(page, media_type="text/html", headers=reading.page_headers(page))


async def _report_markdown(request: Request, request_id: str) -> Response:
    return _file(await reading.report(UUID(request_id), "md", _edition(request), _runtime()), "text/markdown")


async def _report_json(request: Request, request_id: str) -> Response:
    return _file(await reading.report(UUID(request_id), "json", _edition(request), _runtime()), "application/json")


async def _report_evidence(request: Request, request_id: str) -> Response:
    return _file(await reading.report(UUID(request_id), "evidence.json", _edition(request), _runtime()), "application/json")


async def _report_pdf(request: Request, request_id: str) -> Response:
    edition = _edition(request)
    data = await reading.report(UUID(request_id), "json", edition, _runtime())
    page = f"{_runtime().public_url}/report/{request_id}" + ("" if edition == "0" else f"?edition={edition}")
    made = await asyncio.to_thread(printing.pdf, data, page, _runtime().settings.get("fonts", ""))
    return _file(made, "application/pdf", f"report-{request_id}.pdf")


async def _report_bibtex(request: Request, request_id: str) -> Response:
    text = citing.bibtex(await _sources(request, request_id))
    return _file(text.encode(), "application/x-bibtex", f"report-{request_id}.bib")


async def _report_csl(request: Request, request_id: str) -> Response:
    text = citing.csl(await _sources(request, request_id))
    return _file(text.encode(), "application/vnd.citationstyles.csl+json", f"report-{request_id}.csl.json")


async def _sources(request: Request, request_id: str) -> list[dict[str, Any]]:
    data = json.loads(await reading.report(UUID(request_id), "json", _edition(request), _runtime()))
    return list(data["sources"])


def _file(data: bytes, media_type: str, name: str = "") -> Response:
    """A form of the report that is no page, under a name where one would save it."""
    saved = {"Content-Disposition": f'inline; filename="{name}"'} if name else {}
    return Response(data, media_type=media_type, headers={"X-Content-Type-Options": "nosniff", **saved})


def _edition(request: Request) -> str:
    return request.query_params.get("edition", "0")


async def _redrive_plan(_: Request, request_id: str) -> Response:
    told = await redriving.planned(UUID(request_id), _runtime())
    return Response(told.model_dump_json() + "\n", media_type="application/json")


async def _redrive(_: Request, request_id: str) -> Response:
    told = await redriving.redrive(UUID(request_id), _runtime(), _desk())
    return _taken(told.model_dump_json(), UUID(request_id))


async def _dead(request: Request, _: str) -> Response:
    page = await letters.page(_runtime(), letters.Asked.of(dict(request.query_params)))
    return Response(page.model_dump_json() + "\n", media_type="application/json")


def _routes() -> tuple[routes.Route, ...]:
    opens = opening.contract(_runtime())
    return routes.of(_runtime().workflow, opens, opening.asked(opens))


async def _index(_: Request, __: str) -> Response:
    return Response(routes.index(_routes(), _runtime().workflow.name), media_type="text/plain")


async def _openapi(_: Request, __: str) -> Response:
    described, media = _routes(), "application/json"
    if described is routes.ROUTES:
        return Response(OPENAPI.read_bytes(), media_type=media)
    from eventing.apis import openapi  # whoever asks what is committed needs no generator

    return Response(openapi.text(described, _runtime().workflow.name), media_type=media)


_HANDLERS = {
    "ask": _ask,
    "opening": _opening,
    "answer": _answer,
    "event": _event,
    "intake": _intake,
    "state": _state,
    "trail": _trail,
    "progress": _progress,
    "report": _report,
    "report_markdown": _report_markdown,
    "report_json": _report_json,
    "report_pdf": _report_pdf,
    "report_bibtex": _report_bibtex,
    "report_csl": _report_csl,
    "report_evidence": _report_evidence,
    "redrive_plan": _redrive_plan,
    "redrive": _redrive,
    "dead": _dead,
    "openapi": _openapi,
    "index": _index,
}

prepare_soon(lambda: _runtime().prepare())
