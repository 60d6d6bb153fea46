"""What the server says of itself: document in, answer out."""

import re

import pytest

from backend.storage.interface import Retention
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import Client, Failing, asking


async def test_the_version_is_one_that_clients_understand(client: Client) -> None:
    version = (await client.answer(documents.SWCTL_VERSION))["result"]
    # swctl reads two numbers, and asks for the endpoints of a span only of 10.2 and later ones.
    found = re.fullmatch(r"(\d+)\.(\d+)\.\d+-pyrover-\S+", version)
    assert found is not None
    assert (int(found[1]), int(found[2])) >= (10, 2)
    assert int(found[1]) == 10  # from 11 on, dashboards and the menu are not asked for here
    assert await client.answer("mutation { version }") == {"version": version}


async def test_health_is_the_stores(client: Client) -> None:
    assert await client.answer(documents.SWCTL_HEALTH) == {"result": {"score": 0, "details": ""}}
    async with asking(Failing()) as failing:
        assert await failing.answer(documents.SWCTL_HEALTH) == {
            "result": {"score": 1, "details": "the store does not answer: the disk is gone"}
        }


async def test_the_clock_and_its_zone(client: Client) -> None:
    answer = await client.answer(documents.SWCTL_TIME)
    assert answer == {"result": {"timezone": "+0000", "currentTimestamp": 1_800_000_030_000}}


@pytest.mark.parametrize("metadata", [7, 30])
async def test_how_long_what_is_kept(metadata: int) -> None:
    day = 24 * 60
    async with asking(MemoryStorage(), retention=Retention(7 * day, 15 * day, 40 * day, metadata * day)) as client:
        answer = await client.answer(documents.HORIZON_TTL)
        assert answer["metrics"] == {
            "minute": 7,
            "hour": 15,
            "day": 40,
            "coldMinute": -1,
            "coldHour": -1,
            "coldDay": -1,
        }
        assert answer["records"] == {
            "normal": metadata,
            "trace": 0,
            "zipkinTrace": 0,
            "log": 0,
            "browserErrorLog": 0,
            "coldNormal": -1,
            "coldTrace": -1,
            "coldZipkinTrace": -1,
            "coldLog": -1,
            "coldBrowserErrorLog": -1,
        }
        assert await client.answer("{ getMetricsTTL { metadata } }") == {"getMetricsTTL": {"metadata": metadata}}
