"""Values of minutes go to a receiver of OTLP, each once, and what is lost is counted."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from backend.query.catalog import Catalog
from backend.query.otlp import exporting, messages
from backend.query.otlp.exporting import OtlpExporter
from backend.query.promql import budget
from backend.query.promql.errors import PromqlError
from backend.storage.memory import MemoryStorage
from tests.backend.query import world
from tests.backend.query.conftest import DEFINITIONS
from tests.backend.query.otlp.collector import Collector, collecting
from tests.waiting import eventually

CATALOG = Catalog(DEFINITIONS)
NAMES = "kubernetes_service_read_(cpm|time)"
LAST = world.NOW_MINUTE
"""The last minute of the world."""


class Clock:
    """Stands still until it is moved."""

    def __init__(self, minute: int) -> None:
        self.minute = minute
        """The last minute that is over."""

    def __call__(self) -> float:
        return (self.minute + 1) * 60 + 15.0


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as receiver:
        yield receiver


def exporter(url: str, clock: Clock, names: str = NAMES) -> OtlpExporter:
    storage = MemoryStorage()
    world.fill(storage)
    return OtlpExporter(storage, lambda: CATALOG, url, names, clock=clock, pause=0.0)


def expected(minute: int) -> dict[tuple[str, frozenset[tuple[str, str]], int], float]:
    return {
        (
            f"kubernetes_service_{metric}",
            frozenset({"service": world.name(service), "layer": "K8S_SERVICE"}.items()),
            (minute + 1) * 60,
        ): float(value)
        for service, traffic in world.PER_MINUTE.items()
        for metric, value in (("read_cpm", traffic.reads), ("read_time", traffic.read_time_ns))
    }


def test_every_minute_is_sent_once_it_is_over(collector: Collector) -> None:
    clock = Clock(LAST - 3)
    sends = exporter(collector.url, clock)
    sends.export()
    assert collector.received == []  # it begins with the minute that is over next
    clock.minute = LAST - 2
    sends.export()
    sends.export()
    assert collector.values() == expected(LAST - 2)
    clock.minute = LAST
    sends.export()
    assert collector.values() == expected(LAST - 2) | expected(LAST - 1) | expected(LAST)
    assert (sends.sent, sends.rejected, sends.lost) == (18, 0, {})
    (metric, _) = collector.received[0].resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("kubernetes_service_read_cpm", "1/min")
    point = metric.gauge.data_points[0]
    assert point.time_unix_nano - point.start_time_unix_nano == 60 * 1_000_000_000


def test_messages_have_bounds(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAXIMUM_POINTS", 2)
    monkeypatch.setattr(exporting, "METRICS_AT_ONCE", 1)
    clock = Clock(LAST - 1)
    sends = exporter(collector.url, clock)
    clock.minute = LAST
    sends.export()
    assert len(collector.received) == 4  # three values of each of two metrics
    assert collector.values() == expected(LAST)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_can_be_tried_again_is(collector: Collector, status: int) -> None:
    clock = Clock(LAST - 1)
    sends = exporter(collector.url, clock)
    clock.minute = LAST
    collector.statuses = [status, status]
    for failed in (1, 2):
        sends.export()
        assert (sends.attempts_failed, sends.sent) == (failed, 0)
    sends.export()
    assert collector.values() == expected(LAST)
    assert sends.lost == {}


def test_what_is_refused_is_lost(collector: Collector) -> None:
    clock = Clock(LAST - 2)
    sends = exporter(collector.url, clock)
    clock.minute = LAST
    collector.statuses = [400]
    sends.export()
    assert collector.values() == expected(LAST)
    assert sends.lost == {"refused": 1}


def test_values_that_the_receiver_does_not_want_are_counted(collector: Collector) -> None:
    clock = Clock(LAST - 1)
    sends = exporter(collector.url, clock)
    clock.minute = LAST
    collector.rejects = 2
    sends.export()
    assert (sends.sent, sends.rejected) == (4, 2)


def test_an_answer_that_is_no_message_is_an_answer(collector: Collector) -> None:
    clock = Clock(LAST - 1)
    sends = exporter(collector.url, clock)
    clock.minute = LAST
    collector.body = b"thanks"
    sends.export()
    assert (sends.sent, sends.rejected) == (6, 0)


def test_only_some_minutes_wait_for_a_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "MAXIMUM_BEHIND", 3)
    clock = Clock(LAST - 6)
    sends = exporter("http://127.0.0.1:1", clock)  # nobody listens there
    clock.minute = LAST - 3
    sends.export()
    assert (sends.attempts_failed, sends.lost) == (1, {})
    clock.minute = LAST - 1
    sends.export()
    assert (sends.attempts_failed, sends.lost) == (2, {"behind": 2})


def test_too_many_series_are_lost_and_counted(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAXIMUM_SERIES", 2)
    clock = Clock(LAST - 1)
    sends = exporter(collector.url, clock)
    clock.minute = LAST
    sends.export()
    assert (sends.sent, sends.lost) == (0, {"too_many": 1})


def test_what_is_counted_is_shown(collector: Collector) -> None:
    registry, clock = CollectorRegistry(), Clock(LAST - 2)
    sends = exporter(collector.url, clock)
    registry.register(sends)
    clock.minute = LAST
    collector.statuses = [503, 400]
    sends.export()
    sends.export()
    assert registry.get_sample_value("pyrover_otlp_values_sent_total") == 6
    assert registry.get_sample_value("pyrover_otlp_values_rejected_total") == 0
    assert registry.get_sample_value("pyrover_otlp_attempts_failed_total") == 1
    assert registry.get_sample_value("pyrover_otlp_minutes_lost_total", {"cause": "refused"}) == 1


async def test_it_sends_by_itself_until_it_is_stopped(collector: Collector) -> None:
    clock = Clock(LAST - 1)
    sends = exporter(collector.url, clock)
    await sends.start()
    clock.minute = LAST
    await eventually(lambda: sends.sent >= 6, pause=0)
    await sends.stop()
    assert collector.values() == expected(LAST)


@pytest.mark.parametrize(
    "url",
    [
        *("collector:4318", "ftp://x", "http://", "http://x:99999", "http://x/?a=b"),
        *("http://x/é", "http://é", "http://x/a b", "http://x/\x7f", "http://x\0"),
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address|[Pp]ort"):
        exporter(url, Clock(LAST))


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ValueError, match="a user or a password in the address") as refused:
        exporter("http://me:secret@collector:4318", Clock(LAST))
    assert "secret" not in str(refused.value)


def test_a_host_that_can_be_none_is_tried_again_as_one_that_is_away() -> None:
    clock = Clock(LAST - 1)
    sends = exporter(f"http://{'a' * 70}", clock)
    clock.minute = LAST
    sends.export()
    assert (sends.attempts_failed, sends.sent) == (1, 0)


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(PromqlError, match="is not a regular expression"):
        exporter("http://collector:4318", Clock(LAST), "(")
