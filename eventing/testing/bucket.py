"""An S3 server that pretends: buckets in a folder, with conditional create; how it treats every request can be told.

It takes what the store asks of S3 and refuses the rest. Nothing is authenticated: for loopback alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from eventing.errors import BadKeyError, StoreError
from eventing.folder import Folder

LARGEST = 64 * 1024 * 1024
_BEFORE_ALL = "1970-01-01T00:00:00.000Z"  # objects never change: when they were made is nobody's concern
Handler = Callable[[web.Request], Awaitable[web.Response]]
_KEY = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)


@dataclass(frozen=True)
class Treatment:
    """How every request is treated; the default is soundly."""

    status: int = 200
    delay_s: float = 0.0


@dataclass
class PretendedBucket:
    """The application; a folder that takes no more answers as a full disk does (507)."""

    folder: Path
    treatment: Treatment = field(default_factory=Treatment)

    def application(self) -> web.Application:
        """Its routes: S3's, `/health`, and `PUT /otherwise` for how it treats every request from now on."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_get("/health", self._health)
        app.router.add_put("/otherwise", self._otherwise)
        app.router.add_get("/{bucket}", self._treated(self._list))
        app.router.add_post("/{bucket}", self._treated(self._delete))
        app.router.add_get("/{bucket}/{key:.+}", self._treated(self._get), allow_head=False)
        app.router.add_put("/{bucket}/{key:.+}", self._treated(self._create))
        return app

    def _store(self, request: web.Request) -> Folder:
        return Folder(self.folder / request.match_info["bucket"])

    def _treated(self, handler: Handler) -> Handler:
        async def treated(request: web.Request) -> web.Response:
            treatment = self.treatment
            await asyncio.sleep(treatment.delay_s)
            if treatment.status != 200:
                return _error(treatment.status, "InternalError", "told to fail")
            try:
                return await handler(request)
            except BadKeyError as error:
                return _error(400, "InvalidArgument", str(error))
            except StoreError as error:
                return _error(507, "InsufficientStorage", str(error))

        return treated

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _otherwise(self, request: web.Request) -> web.Response:
        try:
            self.treatment = Treatment(**await request.json())
        except (ValueError, TypeError) as error:
            return web.Response(status=400, text=f'a treatment is like {{"status": 503, "delay_s": 1}}: {error}\n')
        return web.Response(text="ok\n")

    async def _create(self, request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") != "*":
            return _error(501, "NotImplemented", "objects are created, never replaced: send If-None-Match: *")
        data = await request.read()
        if not await self._store(request).create(request.match_info["key"], data):
            return _error(412, "PreconditionFailed", "the object is there")
        return web.Response(headers={"ETag": _etag(data)})

    async def _get(self, request: web.Request) -> web.Response:
        data = await self._store(request).get(request.match_info["key"])
        if data is None:
            return _error(404, "NoSuchKey", "there is no such object")
        return web.Response(body=data, headers={"ETag": _etag(data), "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"})

    async def _list(self, request: web.Request) -> web.Response:
        keys = await self._store(request).keys(request.query.get("prefix", "").rstrip("/"))
        told = (f"<Key>{html.escape(key)}</Key><LastModified>{_BEFORE_ALL}</LastModified><Size>0</Size>" for key in keys)
        contents = "".join(f"<Contents>{one}</Contents>" for one in told)
        return _xml(f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")

    async def _delete(self, request: web.Request) -> web.Response:
        keys = _KEY.findall(await request.text())
        for key in keys:
            await self._store(request).delete(html.unescape(key))
        return _xml(f"<DeleteResult>{''.join(f'<Deleted><Key>{key}</Key></Deleted>' for key in keys)}</DeleteResult>")


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()}"'


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/xml")


def _error(status: int, code: str, told: str) -> web.Response:
    return _xml(f"<Error><Code>{code}</Code><Message>{html.escape(told)}</Message></Error>", status)
