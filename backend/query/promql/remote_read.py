"""Remote read of Prometheus: samples of series for a server that evaluates expressions itself.

A request and its answer are each one message (protos/prometheus/remote.proto), compressed as one block of Snappy. The
answer is put together from arrays: samples are most of it, and each is 18 bytes of the same form.
"""

from collections.abc import Iterator, Sequence

import cramjam
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from backend.query.promql.budget import MAXIMUM_SECONDS, Budget
from backend.query.promql.errors import impossible, wrong
from backend.query.promql.evaluator import MINUTE
from backend.query.promql.matching import Matcher, Selector, matcher
from backend.query.promql.questions import Sources
from backend.query.promql.series import Flags, Labels, Numbers, Samples, Times
from backend.query.promql.values import MAXIMUM_WRITTEN
from protos.prometheus.remote_pb2 import Label, LabelMatcher, Query, ReadRequest

MAXIMUM_REQUEST = 1 << 20
"""Most bytes of a request, before and after it is decompressed."""
MAXIMUM_QUERIES = 20
"""Most queries of a request."""
MAXIMUM_MATCHERS = 100
"""Most tests of labels of a query."""
EARLIEST, LATEST = 1 << 35, (1 << 42) - 1
"""Milliseconds since 1970-01-01 UTC between which times have six bytes in messages: the years 1971 to 2109."""

_OPERATORS = {LabelMatcher.EQ: "=", LabelMatcher.NEQ: "!=", LabelMatcher.RE: "=~", LabelMatcher.NRE: "!~"}
# Keys of fields: their numbers, and that their values have a length before them (Protocol Buffers, encoding).
_RESULTS, _TIMESERIES, _LABELS, _SAMPLES = b"\x0a", b"\x0a", b"\x0a", 0x12
_VALUE, _TIMESTAMP = 0x09, 0x10
_TIME_BYTES = 6
_SAMPLE_BYTES = 1 + 8 + 1 + _TIME_BYTES


def read(sources: Sources, body: bytes) -> bytes:
    """The answer to a request, both compressed. Blocks.

    Raises:
        PromqlError: the request is wrong, or asks for too much.
        StorageError: the store does not answer.
    """
    request = decoded(body)
    budget = Budget(MAXIMUM_SECONDS, sources.timer)
    source = sources.source(budget)
    results: list[bytes] = []
    left = MAXIMUM_WRITTEN
    for query in request.queries:
        first = -(-max(query.start_timestamp_ms, EARLIEST) // MINUTE) * MINUTE
        last = min(query.end_timestamp_ms, LATEST)
        found = source.select(_selector(query), first, last, MINUTE) if first <= last else None
        left -= 0 if found is None else int(found.present.sum())
        if left < 0:
            raise impossible(
                f"the answer has more than {MAXIMUM_WRITTEN:,} samples: ask for fewer series or a shorter span, or ask"
                " this backend itself with a longer step"
            )
        results.append(b"" if found is None else encoded(found))
    answer = b"".join(piece for result in results for piece in (_RESULTS, _varint(len(result)), result))
    return bytes(cramjam.snappy.compress_raw(answer))


def decoded(body: bytes) -> ReadRequest:
    """A request. Raises PromqlError."""
    try:
        # Its length stands before a block, and must be looked at before there is room made for it.
        if cramjam.snappy.decompress_raw_len(body) > MAXIMUM_REQUEST:
            raise wrong(f"the request is larger than {MAXIMUM_REQUEST:,} bytes: ask for fewer series at a time")
        request = ReadRequest.FromString(bytes(cramjam.snappy.decompress_raw(body)))
    except cramjam.DecompressionError as error:
        raise wrong(f"the body is not compressed as one block of Snappy: {error}") from None
    except DecodeError as error:
        raise wrong(f"the body is not a ReadRequest of Prometheus's remote read: {error}") from None
    if len(request.queries) > MAXIMUM_QUERIES:
        raise wrong(f"the request has {len(request.queries)} queries, more than {MAXIMUM_QUERIES}: send several")
    return request


def encoded(found: Samples) -> bytes:
    """A QueryResult: series by their labels, each with the samples that it has."""
    at = found.first + np.arange(found.values.shape[1], dtype=np.int64) * found.spacing
    order = sorted(range(len(found.labels)), key=lambda row: found.labels[row])
    series = [_series(found.labels[row], at, found.values[row], found.present[row]) for row in order]
    return b"".join(piece for one in series if one for piece in (_TIMESERIES, _varint(len(one)), one))


def _series(labels: Labels, at: Times, values: Numbers, present: Flags) -> bytes:
    """A TimeSeries; nothing for one without samples."""
    if not present.any():
        return b""
    return b"".join((*_written(labels), _samples(at[present], values[present]).tobytes()))


def _written(labels: Labels) -> Iterator[bytes]:
    for name, value in labels:
        label = Label(name=name, value=value).SerializeToString()
        yield from (_LABELS, _varint(len(label)), label)


def _samples(at: Times, values: Numbers) -> NDArray[np.uint8]:
    """Fields of a TimeSeries, each a Sample: a row of bytes each."""
    rows = np.empty((len(at), 2 + _SAMPLE_BYTES), np.uint8)
    rows[:, 0], rows[:, 1], rows[:, 2] = _SAMPLES, _SAMPLE_BYTES, _VALUE
    rows[:, 3:11] = values.astype("<f8").view(np.uint8).reshape(-1, 8)
    rows[:, 11] = _TIMESTAMP
    for place in range(_TIME_BYTES):
        # Seven bits in each byte, the lowest first; the highest bit says that more follow.
        rows[:, 12 + place] = (at >> (7 * place)) & 0x7F | (0x80 if place < _TIME_BYTES - 1 else 0)
    return rows


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits in each byte
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _selector(query: Query) -> Selector:
    if len(query.matchers) > MAXIMUM_MATCHERS:
        raise wrong(f"a query has {len(query.matchers)} tests of labels, more than {MAXIMUM_MATCHERS}: send fewer")
    return Selector(tuple(_matchers(query.matchers)))


def _matchers(asked: Sequence[LabelMatcher]) -> Iterator[Matcher]:
    for each in asked:
        operator = _OPERATORS.get(each.type)
        if operator is None:
            raise wrong(f"there is no test of labels with the number {each.type}: use 0 (=), 1 (!=), 2 (=~), 3 (!~)")
        yield matcher(each.name, operator, each.value)
