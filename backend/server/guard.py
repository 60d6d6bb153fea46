"""Stands before everything that is answered over HTTP: who may ask, from which pages, and what browsers are told.

The page of the console and its files are open, as they say nothing about anybody; what the page asks is not. Requests
that browsers send for pages of other sites without asking first (the form types of https://fetch.spec.whatwg.org/
#cors-safelisted-request-header) are refused where they could do something. Other types of content need no such check:
a browser asks by OPTIONS whether it may send them, which nothing here answers with yes.
"""

from collections import Counter
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from backend.server.asgi import Application, Message, Receive, Scope, Send
from backend.server.tokens import Token, bearer

HEALTH = "/healthcheck"
"""Open to everybody."""
_PAGE, _PAGE_FOLDER, _CLOSED_IN_IT = "/", "/console/", "/console/dashboards"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FORMS = frozenset({b"", b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"})
_OWN_SITE = frozenset({b"same-origin", b"none"})
PROTECTION = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}
"""Headers of every answer that does not say something else itself."""


class Guard:
    """An ASGI application before another one.

    Args:
        application: What answers those who may ask.
        token: What they must send as `Authorization: Bearer TOKEN`.
        refused: Where refusals are counted, by cause: token, origin.
        console: Whether the page of the console is where it usually is, and open.
    """

    def __init__(self, application: Application, token: Token, refused: Counter[str], *, console: bool = True) -> None:
        self._console = console
        self._application = application
        self._token = token
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it be answered."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not self._token.admits(bearer(headers.get(b"authorization", b""))) and not self._is_open(scope):
            self._refused["token"] += 1
            await _refuse(
                _protected(send),
                HTTPStatus.UNAUTHORIZED,
                "unauthorized",
                "a token is needed to ask this backend, and the one sent is missing or wrong",
                "send it in the header 'Authorization: Bearer TOKEN'; 'query' reads it from PYROVER_BACKEND_HTTP_TOKEN",
            )
        elif scope["method"] not in _SAFE and _is_foreign(headers):
            self._refused["origin"] += 1
            await _refuse(
                _protected(send),
                HTTPStatus.FORBIDDEN,
                "forbidden",
                "this was sent by a page of another site",
                "send it from the console, or without a browser",
            )
        else:
            await self._application(scope, receive, _protected(send))

    def _is_open(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if scope["method"] not in _SAFE:
            return False
        in_page = path == _PAGE or (path.startswith(_PAGE_FOLDER) and path != _CLOSED_IN_IT)
        return path == HEALTH or (self._console and in_page)


def _is_foreign(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser may have sent this for a page of another site."""
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() not in _FORMS:
        return False
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in _OWN_SITE
    origin = headers.get(b"origin")
    if origin is None:  # not a browser: each of them names the origin of a POST
        return False
    try:
        authority = urlsplit(origin.lower()).netloc
    except ValueError:
        return True
    return authority != headers.get(b"host", b"").lower()


def _protected(send: Send) -> Send:
    async def protect(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            said = {name.lower() for name, _ in headers}
            added = [(name, value) for name, value in PROTECTION.items() if name not in said]
            message = {**message, "headers": [*headers, *added]}
        await send(message)

    return protect


async def _refuse(send: Send, status: HTTPStatus, kind: str, error: str, hint: str) -> None:
    """Say no in a form that each client reads: of the API, of Prometheus's API and of GraphQL."""
    answer = {"status": "error", "errorType": kind, "error": error, "hint": hint, "errors": [{"message": error}]}
    body = msgspec.json.encode(answer)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status is HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="pyrover"'))
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": body})
