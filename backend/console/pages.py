"""Serves the console: its own files from page/, the chart library from vendor/, and the dashboards that it shows.

Everything is read into memory once (about 1.2 MB), compressed once, and answered from there. Names under /console
are those of the files, so nothing outside these two folders can be asked for.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from backend.dashboards.book import DashboardBook, Dashboards, answer

ROOT = Path(__file__).parent
DASHBOARDS = "/console/dashboards"
LIBRARY = "/console/vendor/echarts/index.js"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # The browser may keep everything but asks before each use, which costs an empty answer and never shows old files.
    "cache-control": "no-cache",
    "vary": "accept-encoding",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    body: bytes
    compressed: bytes
    media_type: str
    tag: str
    """Entity tag, without quotes."""


def load_assets(root: Path = ROOT) -> dict[str, Asset]:
    """All files of the console, by the path they are asked for."""
    assets = {}
    for folder, prefix in (("page", "/console"), ("vendor", "/console/vendor")):
        for file in sorted((root / folder).rglob("*")):
            if media_type := MEDIA_TYPES.get(file.suffix):
                body = file.read_bytes()
                path = f"{prefix}/{file.relative_to(root / folder).as_posix()}"
                assets[path] = _asset(body, media_type)
    return assets


def _asset(body: bytes, media_type: str) -> Asset:
    return Asset(body, gzip.compress(body, mtime=0), media_type, hashlib.sha256(body).hexdigest()[:24])


class Console:
    """The files of the console, read when they are first asked for."""

    def __init__(self, root: Path, dashboards: Dashboards) -> None:
        self._root = root
        self._dashboards = dashboards
        self._assets: Mapping[str, Asset] = {}

    async def assets(self) -> Mapping[str, Asset]:
        """The files; read again until the chart library is among them, so that no restart is needed."""
        if LIBRARY not in self._assets:
            self._assets = await run_in_threadpool(load_assets, self._root)
        return self._assets

    async def index(self, request: Request) -> Response:
        """The page at /."""
        assets = await self.assets()
        if LIBRARY not in assets:
            return _send(request, assets["/console/missing.html"], HTTPStatus.SERVICE_UNAVAILABLE)
        return _send(request, assets["/console/index.html"])

    async def file(self, request: Request) -> Response:
        """A file under /console."""
        asset = (await self.assets()).get(request.url.path)
        if asset is None:
            return Response("There is no such file.\n", HTTPStatus.NOT_FOUND, HEADERS, "text/plain")
        return _send(request, asset)

    async def dashboards(self, request: Request) -> Response:
        """The dashboards that count now, as JSON."""
        body = msgspec.json.encode(answer(await run_in_threadpool(self._dashboards)))
        return _send(request, _asset(body, "application/json"))


def _send(request: Request, asset: Asset, status: HTTPStatus = HTTPStatus.OK) -> Response:
    headers = {**HEADERS, "etag": f'W/"{asset.tag}"'}
    if status is HTTPStatus.OK and asset.tag in request.headers.get("if-none-match", ""):
        return Response(None, HTTPStatus.NOT_MODIFIED, headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, status, {**headers, "content-encoding": "gzip"}, asset.media_type)
    return Response(asset.body, status, headers, asset.media_type)


def console_routes(root: Path = ROOT, dashboards: Dashboards | None = None) -> list[BaseRoute]:
    """Routes of the page and its files.

    Args:
        root: the folder of page/ and vendor/.
        dashboards: gives the dashboards that count now; by default those that come with the program.
    """
    console = Console(root, dashboards or DashboardBook())
    return [
        Route("/", console.index, methods=["GET"]),
        Route(DASHBOARDS, console.dashboards, methods=["GET"]),
        Route("/console/{path:path}", console.file, methods=["GET"]),
    ]
