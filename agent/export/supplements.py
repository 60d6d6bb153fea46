"""What is known of connections beside their logs, put where readers of the wire find it.

Packages between two calls or after the last one are added to the connection's last write (read) of the same flush, and
dropped packages are named in its last write. What has no such log, and everything that describes the connection as a
whole, becomes its `quality`, an extension of the wire. So the sums on the wire are the sums of the kernel.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import Logs, Supplements, quality_of_supplements
from agent.events.distinct import distinct
from agent.events.layout import STAGES, EventKind
from agent.export.encoder import MessageEncoder, packed
from agent.export.metrics import OPTIONAL_METRICS, READ_METRICS, WRITE_METRICS, prefixed
from protos.ebpf import accesslog_pb2 as wire

OTHER_REASONS = "OTHER"
"""The location of drops for reasons that an event had no room for."""

_LATEST = ("interface", "round_trip_us")
_SUMS = tuple(name for name in STAGES.names or () if name not in (*_LATEST, "late_packages"))

_COUNTERS = {
    "retransmitTimeoutCount": "retransmits_timeout",
    "retransmitFastCount": "retransmits_fast",
    "retransmitProbeCount": "retransmits_probe",
    "retransmitSynCount": "retransmits_syn",
    "zeroWindowReceivedCount": "zero_windows_received",
    "zeroWindowSentCount": "zero_windows_sent",
}
_STATES = {
    "roundTripMicroseconds": "round_trip_us",
    "roundTripVariationMicroseconds": "round_trip_variation_us",
    "roundTripMinimumMicroseconds": "round_trip_minimum_us",
    "segmentsSent": "segments_out",
    "segmentsReceived": "segments_in",
}
_QUALITY = {**_COUNTERS, **_STATES}
_LOSSES = "lossPackageMetrics"
_LATE = {"lateWrite": WRITE_METRICS, "lateRead": READ_METRICS}
_OPTIONAL = tuple(path for late in _LATE for path in (late, *prefixed(late, OPTIONAL_METRICS)))
_ENCODER = MessageEncoder(
    wire.EBPFAccessLogMessage,
    "quality",
    [*_QUALITY, _LOSSES, *(path for late, metrics in _LATE.items() for path in prefixed(late, metrics))],
    optional=_OPTIONAL,
)

_REPORT = np.dtype(
    [
        *((name, np.uint64) for name in _QUALITY.values()),
        ("lateWrite", STAGES),
        ("lateRead", STAGES),
    ]
)
"""The quality of one connection."""

_TARGETS = {EventKind.LATE_WRITE: (EventKind.WRITE, "lateWrite"), EventKind.LATE_READ: (EventKind.READ, "lateRead")}


@dataclass(frozen=True, slots=True)
class Settled:
    """What the logs of a flush do not say by themselves."""

    losses: Mapping[int, bytes]
    """By row of a write, its serialised `lossPackageMetrics`."""
    quality: Mapping[int, bytes]
    """By View.number, the serialised `quality` of a message, with its tag."""
    troubles: Mapping[str, int]
    """How often what went wrong."""


def settle(logs: Logs, supplements: Supplements, reason_name: Callable[[int], str]) -> Settled:
    """Add late packages to the logs they belong to, in place, and serialise the rest.

    Args:
        logs: Logs in ascending order of their views.
        supplements: What is known beside them, in order of arrival.
        reason_name: What the kernel calls a reason for dropping a package.
    """
    if not len(supplements):
        return Settled({}, {}, {})
    views = distinct(supplements["view"])
    reports = np.zeros(len(views), dtype=_REPORT)
    for kind, (target, name) in _TARGETS.items():
        late = supplements[supplements["kind"] == kind]
        rows = _last_rows(logs, target, late["view"])
        found = rows >= 0
        _add(logs["stages"], rows[found], late["stages"][found])
        _add(reports[name], np.searchsorted(views, late["view"][~found]), late["stages"][~found])
    described = supplements[supplements["kind"] == EventKind.QUALITY]
    quality = quality_of_supplements(described)
    at = np.searchsorted(views, described["view"])
    for name in _COUNTERS.values():
        np.add.at(reports[name], at, quality[name])
    for name in _STATES.values():
        known = quality[name] != 0
        reports[name][at[known]] = quality[name][known]  # of several the last one stays
    drops = _drops(described["view"].tolist(), quality, reason_name)
    written = _last_rows(logs, EventKind.WRITE, np.array(list(drops), dtype=np.int64)).tolist()
    row_of = dict(zip(drops, written, strict=True))
    losses = {
        row: wire.AccessLogKernelWriteL4Metrics(lossPackageMetrics=_loss_metrics(drops[view])).SerializeToString()
        for view, row in row_of.items()
        if row >= 0
    }
    unplaced = {view: drops[view] for view, row in row_of.items() if row < 0}
    return Settled(losses, _encode(views, reports, unplaced), _troubles(reports, drops))


def _last_rows(logs: Logs, kind: EventKind, views: NDArray[np.int64]) -> NDArray[np.intp]:
    """For each view the row of its last log of a kind, or -1."""
    rows = np.flatnonzero(logs["kind"] == kind)
    if not len(rows):
        return np.full(len(views), -1, dtype=np.intp)
    owners = logs["view"][rows]
    at = np.maximum(np.searchsorted(owners, views, side="right") - 1, 0)
    return np.where(owners[at] == views, rows[at], -1)


def _add(stages: NDArray[np.void], rows: NDArray[np.intp], late: NDArray[np.void]) -> None:
    """Add late packages to rows of stages; a row may come several times."""
    for name in _SUMS:
        if late[name].any():
            np.add.at(stages[name], rows, late[name])
    np.add.at(stages["late_packages"], rows, late["packages"])  # each of them is
    for name in _LATEST:
        known = late[name] != 0
        stages[name][rows[known]] = late[name][known]


def _drops(views: list[int], quality: NDArray[np.void], reason_name: Callable[[int], str]) -> dict[int, Counter[str]]:
    """Dropped packages by reason, for each view that had any."""
    drops: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for row, slot in zip(*(found.tolist() for found in np.nonzero(quality["drops"]["count"])), strict=True):
        reason, count = quality["drops"][row, slot].tolist()
        drops[views[row]][reason_name(reason)] += count
    for row in np.flatnonzero(quality["drops_other"]).tolist():
        drops[views[row]][OTHER_REASONS] += int(quality["drops_other"][row])
    return dict(drops)


def _loss_metrics(counts: Counter[str]) -> list[wire.AccessLogLossPackageMetrics]:
    largest = np.iinfo(np.int32).max
    return [
        wire.AccessLogLossPackageMetrics(location=location, count=min(count, largest))
        for location, count in sorted(counts.items())
    ]


def _encode(views: NDArray[np.int64], reports: NDArray[np.void], drops: Mapping[int, Counter[str]]) -> dict[int, bytes]:
    """The reports that say something, by view."""
    says = np.isin(views, list(drops)) | (reports.view(np.uint8).reshape(len(reports), -1) != 0).any(axis=1)
    reports, numbers = reports[says], views[says].tolist()
    block = _ENCODER.encode(
        {
            **{path: reports[name] for path, name in _QUALITY.items()},
            **{
                f"{late}.{path}": reports[late][name]
                for late, metrics in _LATE.items()
                for path, name in metrics.items()
            },
            _LOSSES: packed(
                [
                    wire.PyroverConnectionQuality(lossPackageMetrics=_loss_metrics(drops[view])).SerializeToString()
                    if view in drops
                    else b""
                    for view in numbers
                ]
            ),
        },
        len(reports),
    )
    encoded, ends = block.data[block.present].tobytes(), [0, *block.lengths.cumsum().tolist()]
    return {view: encoded[ends[row] : ends[row + 1]] for row, view in enumerate(numbers)}


def _troubles(reports: NDArray[np.void], drops: Mapping[int, Counter[str]]) -> dict[str, int]:
    retransmits = sum(int(reports[name].sum()) for name in _COUNTERS.values() if name.startswith("retransmits"))
    windows = sum(int(reports[name].sum()) for name in _COUNTERS.values() if name.startswith("zero"))
    dropped = sum(counts.total() for counts in drops.values())
    return {"packages_sent_again": retransmits, "packages_dropped": dropped, "windows_closed": windows}
