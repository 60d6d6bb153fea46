"""What answers when a library panics, which is raised as no Exception."""

from typing import Any, cast

import httpx
import promql_parser
import pytest
from starlette.applications import Starlette

from backend.query.panics import PanicError, contained
from backend.query.promql.routes import promql_routes
from backend.storage.interface import Service
from backend.storage.memory import MemoryStorage
from tests.backend.query.conftest import DEFINITIONS, client
from tests.backend.query.graphql.asking import asking

BEFORE_1970: Any = cast("promql_parser.VectorSelector", promql_parser.parse("x @ -1")).at


class Panicking(MemoryStorage):
    """A store whose library panics."""

    def services(self) -> list[Service]:
        BEFORE_1970.at  # noqa: B018 - this does
        raise AssertionError("there was no panic")


def test_a_panic_is_an_error() -> None:
    with pytest.raises(PanicError, match=r"PanicException: .*SystemTimeError") as raised:
        contained(Panicking().services)
    assert not isinstance(raised.value.__cause__, Exception)


def test_other_errors_and_results_are_as_they_are() -> None:
    assert contained(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        contained(divmod, 7, 0)


async def test_the_api_answers() -> None:
    async with client(Panicking()) as asked:
        response = await asked.get("/api/services")
    assert response.status_code == 500
    assert response.json()["error"] == "the backend failed to answer"


async def test_graphql_answers() -> None:
    async with asking(Panicking()) as asked:
        (error,) = await asked.errors("{ listServices { id } }")
        assert (error["extensions"]["code"], error["path"]) == ("INTERNAL", ["listServices"])
        assert asked.counted("errors_total", code="INTERNAL") == 1


async def test_promql_answers() -> None:
    application = Starlette(routes=promql_routes(Panicking(), DEFINITIONS))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as asked:
        response = await asked.get("/api/v1/query", params={"query": "service_traffic"})
    assert (response.status_code, response.json()["errorType"]) == (500, "internal")
