"""How the console's files are served."""

import gzip
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from backend.console.pages import LIBRARY, ROOT, console_routes, load_assets
from backend.dashboards.book import DashboardBook
from backend.dashboards.loading import standard_dashboards

STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def copy_of_console(folder: Path) -> Path:
    """The console with a stand-in for the chart library, so that nothing needs to be fetched."""
    shutil.copytree(ROOT / "page", folder / "page")
    library = folder / LIBRARY.removeprefix("/console/")
    library.parent.mkdir(parents=True)
    library.write_text("export const echarts = null;\n")
    return folder


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client(copy_of_console(tmp_path)) as asking:
        yield asking


def client(root: Path) -> httpx.AsyncClient:
    application = Starlette(routes=console_routes(root))
    return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test")


async def test_every_answer_has_the_strict_policy(console: httpx.AsyncClient, tmp_path: Path) -> None:
    paths = ["/", "/console/nothing.js", "/console/dashboards", *load_assets(tmp_path)]
    assert len(paths) > 10
    for path in paths:
        response = await console.get(path)
        assert response.headers["content-security-policy"] == STRICT, path
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.status_code == (404 if "nothing" in path else 200)


async def test_everything_the_page_names_is_there(console: httpx.AsyncClient) -> None:
    page = (await console.get("/")).text
    named = re.findall(r'(?:src|href)="(/[^"]*)"', page)
    assert "/console/scripts/main.js" in named
    for path in named:
        assert (await console.get(path)).status_code == 200, path
    assert "//" not in "".join(named)


def test_pages_hold_neither_inline_script_nor_inline_style_nor_foreign_addresses() -> None:
    for page in (ROOT / "page").rglob("*.*"):
        text = page.read_text()
        if page.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), page
        addresses = set(re.findall(r"https?://[^\s\"'`<]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://example.org/"}, page


async def test_unchanged_files_are_not_sent_again(console: httpx.AsyncClient) -> None:
    first = await console.get("/console/scripts/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await console.get("/console/scripts/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = await console.get("/console/scripts/main.js", headers={"if-none-match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)


async def test_files_are_compressed_for_those_who_can_read_it(console: httpx.AsyncClient, tmp_path: Path) -> None:
    path = "/console/styles/tables.css"
    plain = await console.get(path, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    async with console.stream("GET", path, headers={"accept-encoding": "gzip"}) as response:
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["vary"] == "accept-encoding"
        body = b"".join([chunk async for chunk in response.aiter_raw()])
    assert gzip.decompress(body) == plain.content == (tmp_path / "page/styles/tables.css").read_bytes()
    assert plain.headers["content-type"] == "text/css; charset=utf-8"


async def test_dashboards_are_those_that_count_now(tmp_path: Path) -> None:
    book = DashboardBook()
    application = Starlette(routes=console_routes(copy_of_console(tmp_path), book))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as console:
        first = await console.get("/console/dashboards")
        assert first.headers["content-type"] == "application/json"
        assert [one["name"] for one in first.json()["dashboards"]] == [one.name for one in standard_dashboards()]
        book.replace(tuple(one for one in standard_dashboards() if one.name == "endpoint"))
        again = await console.get("/console/dashboards", headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 200
        (shown,) = again.json()["dashboards"]
        assert (shown["title"], shown["scope"], shown["own"]) == ("Endpoint", "endpoint", False)
        assert shown["tabs"][0]["widgets"][0] == {
            "title": "HTTP calls",
            "kind": "line",
            "unit": "per minute",
            "lines": [{"expression": "kubernetes_service_endpoint_http_call_cpm", "name": "Calls"}],
        }


@pytest.mark.parametrize(
    "path",
    ["/console/../pages.py", "/console/%2e%2e/pages.py", "/console//etc/passwd", "/console/", "/console/scripts"],
)
async def test_nothing_else_can_be_read(console: httpx.AsyncClient, path: str) -> None:
    assert (await console.get(path)).status_code == 404


async def test_a_missing_library_is_explained_and_then_found(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "page", tmp_path / "page")
    async with client(tmp_path) as console:
        missing = await console.get("/")
        assert missing.status_code == 503
        assert "scripts/fetch_console_assets.py" in missing.text
        shutil.rmtree(tmp_path / "page")
        copy_of_console(tmp_path)
        found = await console.get("/")
        assert found.status_code == 200
        assert "/console/scripts/main.js" in found.text
