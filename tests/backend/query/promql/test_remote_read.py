"""Remote read: a real Prometheus server that reads from here answers as this backend does, and bounds hold."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.query.promql import remote_read
from backend.query.promql.remote_read import EARLIEST, LATEST, encoded
from backend.query.promql.routes import promql_routes
from backend.query.promql.series import Samples
from backend.storage.memory import MemoryStorage
from protos.prometheus.remote_pb2 import LabelMatcher, Query, QueryResult, ReadRequest, ReadResponse
from tests.backend.query import world
from tests.backend.query.conftest import DEFINITIONS
from tests.backend.query.graphql.asking import Failing
from tests.backend.query.promql.client import LAST, Client
from tests.backend.query.promql.prometheus import needs_prometheus, prometheus
from tests.backend.query.serving import served

HEADERS = {"content-type": "application/x-protobuf", "content-encoding": "snappy"}
READS = "kubernetes_service_read_cpm"
EQ, NEQ, RE, NRE = LabelMatcher.EQ, LabelMatcher.NEQ, LabelMatcher.RE, LabelMatcher.NRE
Found = list[tuple[dict[str, str], dict[int, float]]]


def query(*tests: tuple[Any, str, str], start: int = LAST - 600, end: int = LAST) -> Query:
    matchers = [LabelMatcher(type=kind, name=name, value=value) for kind, name, value in tests]
    return Query(start_timestamp_ms=start * 1000, end_timestamp_ms=end * 1000, matchers=matchers)


def packed(*queries: Query) -> bytes:
    return bytes(cramjam.snappy.compress_raw(ReadRequest(queries=queries).SerializeToString()))


async def post(client: Client, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    return await client.http.post("read", content=body, headers=HEADERS if headers is None else headers)


async def read(client: Client, *queries: Query) -> list[Found]:
    response = await post(client, packed(*queries))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-protobuf"
    assert response.headers["content-encoding"] == "snappy"
    results = ReadResponse.FromString(bytes(cramjam.snappy.decompress_raw(response.content))).results
    return [shown(result) for result in results]


def shown(result: QueryResult) -> Found:
    return [
        (
            {label.name: label.value for label in series.labels},
            {sample.timestamp: sample.value for sample in series.samples},
        )
        for series in result.timeseries
    ]


@pytest.fixture
async def client() -> Any:  # noqa: ANN401 - a generator of Client
    kept = MemoryStorage()
    world.fill(kept)
    asking = Client(kept)
    async with asking.http:
        yield asking


@pytest.mark.parametrize(
    ("tests", "text"),
    [
        ([(EQ, "__name__", READS)], READS),
        ([(EQ, "__name__", READS), (EQ, "service", "api")], f'{READS}{{service="api"}}'),
        ([(EQ, "__name__", READS), (NEQ, "service", "api")], f'{READS}{{service!="api"}}'),
        ([(RE, "__name__", "kubernetes_service_(read|write)_cpm"), (RE, "service", "a.*|front.*")], None),
        ([(EQ, "__name__", READS), (NRE, "service", "a.*")], f'{READS}{{service!~"a.*"}}'),
        ([(EQ, "__name__", "service_traffic")], "service_traffic"),
        ([(EQ, "__name__", "nothing")], "nothing"),
    ],
)
async def test_samples_are_those_of_a_window(
    client: Client, tests: list[tuple[Any, str, str]], text: str | None
) -> None:
    text = text or '{__name__=~"kubernetes_service_(read|write)_cpm", service=~"a.*|front.*"}'
    (found,) = await read(client, query(*tests))
    # A window leaves out its older end, and a read does not.
    data = await client.get("query", query=f"{text}[601s]", time=LAST)
    expected = [
        (series["metric"], {round(at * 1000): float(value) for at, value in series["values"]})
        for series in data["result"]
    ]
    assert found == expected
    assert (text == "nothing") is (found == [])


async def test_each_query_has_a_result_and_empty_spans_have_nothing(client: Client) -> None:
    name = (EQ, "__name__", READS)
    found = await read(client, query(name), query(name, start=LAST, end=LAST - 60), query(name, start=0, end=60))
    assert [len(each) for each in found] == [3, 0, 0]
    one = await read(client, query(name, start=LAST, end=LAST), query(name, start=LAST + 1, end=LAST + 59))
    assert [[list(samples) for _, samples in each] for each in one] == [[[LAST * 1000]] * 3, []]


samples = st.integers(0, 4).flatmap(
    lambda series: st.tuples(
        st.lists(st.text(st.characters(codec="utf-8"), max_size=200), min_size=series, max_size=series, unique=True),
        st.lists(st.lists(st.none() | st.floats(), min_size=5, max_size=5), min_size=series, max_size=series),
        st.sampled_from([EARLIEST, 1_800_000_000_000, LATEST - 4 * 60_000]),
    )
)


@settings(deadline=None, max_examples=200)
@given(samples)
def test_what_is_written_is_read_by_the_library(drawn: tuple[list[str], list[list[float | None]], int]) -> None:
    names, values, first = drawn
    present = np.array([[value is not None for value in row] for row in values], np.bool_).reshape(-1, 5)
    numbers = np.array([[value or 0.0 for value in row] for row in values], np.float64).reshape(-1, 5)
    labels = [(("name", name),) for name in names]
    found = shown(QueryResult.FromString(encoded(Samples(labels, numbers, present, first, 60_000))))
    expected = [
        ({"name": name}, {first + 60_000 * place: value for place, value in enumerate(row) if value is not None})
        for name, row in sorted(zip(names, values, strict=True))
        if any(value is not None for value in row)
    ]
    assert [each for each, _ in found] == [each for each, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert list(one) == list(other)
        assert all(
            a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(one.values(), other.values(), strict=True)
        )


GOOD = packed(query((EQ, "__name__", READS)))
NO_MESSAGE = bytes(cramjam.snappy.compress_raw(b"\x0a\xff"))
LENGTH_OF_A_GIGABYTE = b"\x80\x80\x80\x80\x04"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "the body is not compressed as one block of Snappy: "),
        (b"\xff" * 10, "the body is not compressed as one block of Snappy: "),
        (GOOD[:-1], "the body is not compressed as one block of Snappy: "),
        (LENGTH_OF_A_GIGABYTE, "the request is larger than 1,048,576 bytes: ask for fewer series at a time"),
        (NO_MESSAGE, "the body is not a ReadRequest of Prometheus's remote read: "),
        (packed(*[query()] * 21), "the request has 21 queries, more than 20: send several"),
        (packed(query(*[(EQ, "a", "b")] * 101)), "a query has 101 tests of labels, more than 100: send fewer"),
        (packed(query((RE, "service", "("))), "'(' is not a regular expression of RE2"),
        (packed(query((7, "service", "("))), "there is no test of labels with the number 7: use 0 (=), 1 (!=)"),
        (packed(query((RE, "service", "a" * 4_097))), "a regular expression is longer than 4,096 characters"),
        (b"a" * (remote_read.MAXIMUM_REQUEST + 1), "the body is larger than 1,048,576 bytes"),
    ],
)
async def test_what_is_wrong_is_told_in_a_line_and_counted(client: Client, body: bytes, error: str) -> None:
    response = await post(client, body)
    assert response.status_code == 400
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text.startswith(error)
    assert response.text.count("\n") == 1
    assert client.counted("bad_data") == 1


async def test_other_forms_are_refused(client: Client) -> None:
    plain = await post(client, GOOD, {**HEADERS, "content-encoding": ""})
    assert plain.status_code == 400
    assert plain.text == (
        "the content type is 'application/x-protobuf' and its encoding '': send application/x-protobuf and snappy, as"
        " the remote_read of Prometheus does\n"
    )
    assert (await client.http.get("read")).text == "GET is not answered here: use POST, as Prometheus does\n"


async def test_an_answer_has_so_many_samples(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = await read(client, query((EQ, "__name__", READS)))
    many = sum(len(values) for _, values in found)
    monkeypatch.setattr(remote_read, "MAXIMUM_WRITTEN", 2 * many)
    again = query((EQ, "__name__", READS))
    assert len(await read(client, again, again)) == 2
    refused = await post(client, packed(again, again, again))
    assert refused.status_code == 422
    assert refused.text.startswith(f"the answer has more than {2 * many:,} samples: ask for fewer series")
    assert client.counted("execution") == 1


async def test_a_store_that_does_not_answer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    client = Client(Failing())
    async with client.http:
        response = await post(client, packed(query((EQ, "__name__", "service_traffic"))))
    assert response.status_code == 503
    assert response.text == "the disk is gone; the backend's log says more, try again in a moment\n"
    assert len(caplog.records) == 1


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """A Prometheus server without samples of its own that reads from a backend, and that backend."""
    kept = MemoryStorage()
    world.fill(kept)
    folder: Path = tmp_path_factory.mktemp("remote")
    with served(promql_routes(kept, DEFINITIONS, clock=lambda: world.NOW)) as address:
        configuration = f"remote_read:\n- url: http://{address}/api/v1/read\n  read_recent: true\n"
        with (
            prometheus(folder, configuration) as reading,
            httpx.Client(base_url=reading, timeout=120) as server,
            httpx.Client(base_url=f"http://{address}", timeout=120) as backend,
        ):
            yield server, backend


@needs_prometheus
@pytest.mark.parametrize(
    "text",
    [
        READS,
        f'{READS}{{service="api"}}',
        f'sum by (service) ({{__name__=~"{READS}|kubernetes_service_write_cpm"}})',
        f"max_over_time({READS}[7m]) - min_over_time({READS}[7m])",
        f"topk(1, avg_over_time({READS}[10m]))",
        "kubernetes_service_relation_server_read_package_size",
        "count(service_traffic)",
        "kubernetes_service_percentile",
    ],
)
def test_prometheus_answers_from_here_as_this_backend_does(both: tuple[httpx.Client, httpx.Client], text: str) -> None:
    # Half a minute from the samples, so that none is at the end of a window: there Prometheus 2 and 3 differ.
    asked = {"query": text, "start": LAST - 570, "end": LAST + 30, "step": 60}
    answers = [one.post("/api/v1/query_range", data=asked).json() for one in both]
    assert [answer["status"] for answer in answers] == ["success", "success"], answers
    read, own = (
        {
            tuple(sorted(series["metric"].items())): [(at, float(value)) for at, value in series["values"]]
            for series in answer["data"]["result"]
        }
        for answer in answers
    )
    assert read == own
    assert read or text == "kubernetes_service_percentile"


@needs_prometheus
def test_prometheus_shows_what_is_wrong(both: tuple[httpx.Client, httpx.Client]) -> None:
    server, _ = both
    answer = server.get("/api/v1/query", params={"query": f'{READS}{{service=~"{"a" * 4_097}"}}', "time": LAST})
    shown = answer.json()
    told = [shown.get("error", ""), *shown.get("warnings", [])]
    assert any("a regular expression is longer than 4,096 characters: ask in several" in one for one in told), shown
