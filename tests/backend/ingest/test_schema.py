from typing import Any

import pytest

from backend.ingest import schema
from backend.ingest.schema import EXTENSIONS, KNOWN_EXTENSIONS, KNOWN_FIELDS, SLOTS, SchemaError, build, slot_of
from protos.ebpf.accesslog_pb2 import EBPFAccessLogMessage

ROOT: Any = EBPFAccessLogMessage.DESCRIPTOR
TIMES = {"start": "startTime.offset.offset", "end": "endTime.offset.offset"}


def test_known_numbers_have_slots_of_their_own() -> None:
    numbers = [*range(KNOWN_FIELDS), *range(EXTENSIONS, EXTENSIONS + KNOWN_EXTENSIONS)]
    assert [slot_of(number) for number in numbers] == list(range(SLOTS))
    for number in (-1, KNOWN_FIELDS, EXTENSIONS - 1, EXTENSIONS + KNOWN_EXTENSIONS, 2**29 - 1):
        assert slot_of(number) == -1


def test_extensions_are_kept_only_when_that_is_asked_for() -> None:
    logs, ranges = {"protocolLog": 0}, ("protocolLog",)
    without = build(ROOT, logs=logs, ranges=ranges, **TIMES)
    kept = build(ROOT, logs=logs, ranges=ranges, extensions=("http.slice",), unkept=("http.request",), **TIMES)
    assert "http.slice" not in without.columns
    assert "http.request.trace.traceId" in without.columns
    assert [*kept.columns] == [
        "http.version",
        "http.response.statusCode",
        "http.response.sizeOfHeadersBytes",
        "http.response.sizeOfBodyBytes",
        "http.slice",
    ]
    assert kept.texts == {}


def test_an_extension_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SchemaError, match=r"there is no http\.slices to keep"):
        build(ROOT, logs={"protocolLog": 0}, ranges=("protocolLog",), extensions=("http.slices",), **TIMES)


def test_one_log_must_be_a_range_so_that_two_are_noticed() -> None:
    with pytest.raises(SchemaError, match=r"EBPFAccessLogMessage.protocolLog is one log, and must be a range"):
        build(ROOT, logs={"protocolLog": 0}, ranges=(), **TIMES)


def test_what_nests_too_deep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "MAXIMUM_DEPTH", 4)
    with pytest.raises(SchemaError, match="nests deeper than 4"):
        build(ROOT, logs={"kernelLogs": 0}, ranges=(), **TIMES)
