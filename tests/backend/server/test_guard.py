"""Who may ask over HTTP, from which pages, and what browsers are told of every answer."""

import asyncio
from collections import Counter
from functools import partialmethod
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from backend.server.guard import PROTECTION, Guard
from backend.server.tokens import Token

TOKEN = "open sesame"  # noqa: S105 - it opens nothing
CLOSED = (
    "/api/status",
    "/api/v1/query",
    "/graphql",
    "/metrics",
    "/api/reload",
    "/console/dashboards",
    "/consoles",
)
OPEN = ("/healthcheck", "/", "/console/index.html", "/console/scripts/main.js")


def answer(request: Request) -> Response:
    return Response(f"{request.method} {request.url.path}", headers={"referrer-policy": "origin"})


class Asking:
    """A guard before what answers anything, and what it refused."""

    def __init__(self, token: str = TOKEN, *, console: bool = True) -> None:
        routes = [Route("/{path:path}", answer, methods=["GET", "HEAD", "POST", "OPTIONS"])]
        self.refused: Counter[str] = Counter()
        self._guard = Guard(Starlette(routes=routes), Token(token), self.refused, console=console)

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:  # noqa: ANN401 - as httpx takes it
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._guard)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                return await client.request(method, path, **given)

        return asyncio.run(ask())

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", CLOSED)
def test_without_the_token_nothing_is_answered(path: str) -> None:
    client = Asking()
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        response = client.request(method, path)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, 'Bearer realm="pyrover"')
    told = client.get(path).json()
    assert client.get(path, headers=bearer(TOKEN)).text == f"GET {path}"
    assert client.refused == {"token": 5}
    assert (told["status"], told["errorType"]) == ("error", "unauthorized")  # as Prometheus's API says it
    assert told["errors"] == [{"message": told["error"]}]  # as GraphQL does
    assert "Authorization: Bearer TOKEN" in told["hint"]


@pytest.mark.parametrize("path", OPEN)
def test_the_page_and_the_health_are_open_to_be_read(path: str) -> None:
    client = Asking()
    assert client.get(path).text == f"GET {path}"
    assert client.request("HEAD", path).status_code == 200
    assert client.post(path).status_code == 401


def test_another_port_has_no_page_that_is_open() -> None:
    client = Asking(console=False)
    assert [client.get(path).status_code for path in OPEN] == [200, 401, 401, 401]


@pytest.mark.parametrize(
    "headers",
    [
        bearer("open"),
        bearer(TOKEN + "x"),
        bearer(TOKEN.upper()),
        bearer(""),
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"authentication": TOKEN},
        {"cookie": f"token={TOKEN}"},
    ],
)
def test_a_token_that_is_wrong_or_elsewhere_is_none(headers: dict[str, str]) -> None:
    client = Asking()
    assert client.get("/api/status", headers=headers).status_code == 401


@pytest.mark.parametrize("name", ["token", "access_token", "authorization", "http_token"])
def test_a_token_in_the_address_is_none(name: str) -> None:
    client = Asking()
    assert client.get("/api/status", params={name: TOKEN}).status_code == 401
    assert client.get("/api/status", params={name: f"Bearer {TOKEN}"}).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_name_of_the_scheme_is_in_any_case(scheme: str) -> None:
    client = Asking()
    assert client.get("/api/status", headers={"authorization": f"{scheme}  {TOKEN} "}).status_code == 200


def test_where_no_token_is_set_everybody_may_ask() -> None:
    client = Asking("")
    assert client.get("/api/status").status_code == 200
    assert client.get("/api/status", headers=bearer("any")).status_code == 200


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser
        ({"origin": "http://testserver"}, 200),
        ({"origin": "HTTP://TestServer"}, 200),
        ({"origin": "http://testserver:81"}, 403),
        ({"origin": "http://other.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[bad"}, 403),
        ({"origin": "http://other.test", "content-type": FORM}, 403),
        ({"origin": "http://other.test", "content-type": "Text/Plain; charset=utf-8"}, 403),
        ({"origin": "http://other.test", "content-type": "multipart/form-data; boundary=x"}, 403),
        ({"origin": "http://other.test", "content-type": "application/json"}, 200),  # a browser has asked before
        ({"sec-fetch-site": "same-origin", "origin": "http://proxied.test"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "same-site", "origin": "http://testserver"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_sites_change_nothing(headers: dict[str, str], status: int) -> None:
    client = Asking("")
    assert client.post("/api/reload", headers=headers).status_code == status
    assert client.get("/api/status", headers={"origin": "http://other.test"}).status_code == 200
    assert client.refused["origin"] == (status == 403)


def test_no_page_of_another_site_is_told_that_it_may_ask() -> None:
    asked = {"origin": "http://other.test", "access-control-request-method": "POST"}
    client = Asking("")
    headers = client.request("OPTIONS", "/graphql", headers=asked).headers
    assert not [name for name in headers if name.startswith("access-control")]


def test_every_answer_says_how_browsers_are_to_take_it() -> None:
    client = Asking()
    for response in (client.get("/api/status"), client.get("/", headers=bearer(TOKEN))):
        told = {**PROTECTION, b"referrer-policy": b"origin"} if response.status_code == 200 else PROTECTION
        for name, value in told.items():
            assert response.headers.get_list(name.decode()) == [value.decode()]
