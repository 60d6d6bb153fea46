"""From kernel events to logs of connection views.

Transfers, the bulk of all events, are handled as columns; Python handles each distinct view of a batch once, and one by
one only the events that open, close or end connections.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from agent.connections.grouping import group_events
from agent.connections.logs import LOG, SUPPLEMENT, Logs, Supplements, TrackedLogs
from agent.connections.registry import ViewRegistry, event_key
from agent.connections.state import ViewInput, ViewState
from agent.connections.view import View, endpoint
from agent.events.distinct import distinct
from agent.events.kinds import kind_table
from agent.events.layout import EventFlag, EventKind, Events, Role
from agent.events.records import EventRecord, EventRecords
from agent.events.rows import as_bytes

_TRANSFERS = (EventKind.READ, EventKind.WRITE)
_SUPPLEMENTS = (EventKind.LATE_READ, EventKind.LATE_WRITE, EventKind.QUALITY)
_WITHIN_A_CONNECTION = frozenset((*_TRANSFERS, *_SUPPLEMENTS))
_IS_TRANSFER = kind_table(_TRANSFERS)
_IS_SUPPLEMENT = kind_table(_SUPPLEMENTS)
_OPENS_DESCRIPTOR = kind_table((EventKind.READ, EventKind.WRITE, EventKind.CONNECT, EventKind.ACCEPT))

_FORGOTTEN = {
    EventKind.LATE_READ: "late packages read of a forgotten connection",
    EventKind.LATE_WRITE: "late packages written of a forgotten connection",
    EventKind.QUALITY: "quality of a forgotten connection",
}


class Tracker:
    """Turns batches of events into logs."""

    def __init__(self, registry: ViewRegistry) -> None:
        self._registry = registry

    def process(self, events: Events, now_ns: int) -> TrackedLogs:
        """The logs of a batch of events, in order of arrival. `now_ns` is CLOCK_MONOTONIC."""
        if not len(events):
            return TrackedLogs(np.empty(0, dtype=LOG))
        return _Batch(self._registry, events, now_ns).logs()


class _Batch:
    """One batch under way: which view each of its groups stands for at the moment."""

    def __init__(self, registry: ViewRegistry, events: Events, now_ns: int) -> None:
        self._registry = registry
        self._events = events
        self._now_ns = now_ns
        self._records = EventRecords(events)
        self._groups = group_events(events)
        self._current: list[View | None] = [None] * len(self._groups.first)
        self._descriptors = self._descriptors_by_group()
        self._views: dict[int, View] = {}
        # Views that a group stood for before another took its key within this batch: (row of the change, old view).
        self._earlier: dict[int, list[tuple[int, View]]] = defaultdict(list)
        # Logs of single events, as parallel lists.
        self._rows: list[int] = []
        self._numbers: list[int] = []
        self._kinds: list[int] = []
        self._success: list[bool] = []

    def logs(self) -> TrackedLogs:
        kind = self._events["kind"]
        is_transfer = _IS_TRANSFER[kind]
        transfers = np.flatnonzero(is_transfer)
        is_supplement = _IS_SUPPLEMENT[kind]
        # The groups that have transfers, and where in `transfers` the first of each is.
        groups, first = np.unique(self._groups.group[transfers], return_index=True)
        transferring = dict(zip(groups.tolist(), transfers[first].tolist(), strict=True))
        self._resolve(transferring)
        for row in np.flatnonzero(~(is_transfer | is_supplement)).tolist():
            self._single(row, self._records[row])
        logs = self._merge(transfers, self._transfer_views(transfers, transferring))
        # Last, when every connection that the batch begins is known.
        supplements = self._supplements(np.flatnonzero(is_supplement).tolist())
        return TrackedLogs(logs, self._views, supplements)

    def _descriptors_by_group(self) -> dict[int, list[int]]:
        """The distinct descriptors by which each group's socket was used."""
        used = _OPENS_DESCRIPTOR[self._events["kind"]]
        group = self._groups.group[used].astype(np.int64)
        pairs = distinct(group << 32 | self._events["descriptor"][used].astype(np.int64) & 0xFFFFFFFF)
        by_group: dict[int, list[int]] = defaultdict(list)
        for pair in pairs.tolist():
            by_group[pair >> 32].append(pair & 0xFFFFFFFF)
        return by_group

    def _resolve(self, transferring: Collection[int]) -> None:
        """Find the view of each group, and begin it where a transfer is the first that is seen of it."""
        for group, row in enumerate(self._groups.first.tolist()):
            record = self._records[row]
            if record.kind == EventKind.CLOSE:
                continue
            self._registry.processes.seen(record.process, record.command)
            view = self._registry.table.get(event_key(record))
            if view is not None and _is_another(view, record):
                view = None
                self._registry.information["socket replaced without a close"] += 1
            if view is None and record.kind in _TRANSFERS:
                view = self._registry.open_from_event(record, self._now_ns)
            if view is not None:
                self._current[group] = view
                self._registry.table.touch(view, self._now_ns)
                self._use_descriptors(group, view)
                if group in transferring:
                    self._registry.apply(view, ViewInput.TRANSFERRED)

    def _use_descriptors(self, group: int, view: View) -> None:
        if view.state is not ViewState.ENDED:
            for descriptor in self._descriptors.get(group, ()):
                self._registry.add_descriptor(view, descriptor)

    def _single(self, row: int, record: EventRecord) -> None:
        if record.kind in {EventKind.CONNECT, EventKind.ACCEPT}:
            self._opened(row, record)
        elif record.kind == EventKind.CLOSE:
            self._closed(row, record)
        elif record.kind == EventKind.LISTEN:
            self._registry.listens(record)
        elif record.kind == EventKind.LISTEN_END:
            self._registry.listens_no_more(record)
        elif record.kind == EventKind.CLOSE_RANGE:
            self._range_closed(row, record)
        elif record.kind == EventKind.PROCESS_EXIT:
            self._process_exited(row, record)
        else:
            self._registry.information["event of an unknown kind"] += 1

    def _opened(self, row: int, record: EventRecord) -> None:
        group = int(self._groups.group[row])
        view = self._registry.table.get(event_key(record))
        if view is None or view.state is ViewState.ENDED or not _has_ends(view, record):
            view = self._registry.open_from_event(record, self._now_ns)
            self._use_descriptors(group, view)
        before = self._current[group]
        if before is not None and before is not view:
            self._earlier[group].append((row, before))
        self._current[group] = view
        view.role = Role.CLIENT if record.kind == EventKind.CONNECT else Role.SERVER
        if record.kind == EventKind.ACCEPT:
            self._registry.accepted(view)
        else:
            self._registry.connected(view)
        succeeded = record.result >= 0
        self._registry.apply(view, ViewInput.OPENED if succeeded else ViewInput.CONNECT_FAILED)
        self._log(row, view, EventKind(record.kind), success=succeeded)

    def _closed(self, row: int, record: EventRecord) -> None:
        views = self._registry.table.of_socket(record.process << 32 | record.inode)
        if not views:
            self._registry.information["close of an inherited or unconnected socket"] += 1
        for view in views:
            if not self._close(row, record, view, record.descriptor):
                self._registry.information["close of a connection that never was or has ended"] += 1

    def _close(self, row: int, record: EventRecord, view: View, descriptor: int) -> bool:
        """Close one descriptor of a view. True when that is reported."""
        self._registry.remove_descriptor(view, descriptor)
        if record.flags & EventFlag.LAST_REFERENCE:
            happened = ViewInput.RELEASED
        else:
            happened = ViewInput.CLOSED_ONE if view.descriptors else ViewInput.CLOSED_KNOWN
        reported = self._registry.apply(view, happened)
        if reported:
            self._log(row, view, EventKind.CLOSE, success=record.result == 0)
        return reported

    def _range_closed(self, row: int, record: EventRecord) -> None:
        first, last = record.descriptor & 0xFFFFFFFF, record.result & 0xFFFFFFFF
        for view in self._registry.table.of_process(record.process):
            for descriptor in view.descriptors:
                if first <= descriptor <= last:
                    self._registry.remove_descriptor(view, descriptor)
                    happened = ViewInput.CLOSED_ONE if view.descriptors else ViewInput.CLOSED_KNOWN
                    if self._registry.apply(view, happened):
                        self._log(row, view, EventKind.CLOSE, success=True)

    def _process_exited(self, row: int, record: EventRecord) -> None:
        for view in self._registry.table.of_process(record.process):
            if self._registry.apply(view, ViewInput.PROCESS_EXITED):
                self._log(row, view, EventKind.PROCESS_EXIT, success=True)
        self._registry.process_left(record.process)

    def _log(self, row: int, view: View, kind: EventKind, *, success: bool) -> None:
        self._views[view.number] = view
        self._rows.append(row)
        self._numbers.append(view.number)
        self._kinds.append(kind)
        self._success.append(success)

    def _transfer_views(self, transfers: NDArray[np.intp], transferring: Mapping[int, int]) -> NDArray[np.int64]:
        """Per transfer, the number of its view. `transferring` has each group with the row of its first transfer."""
        group = self._groups.group[transfers]
        number_of_group = np.zeros(len(self._current), dtype=np.int64)
        for index, at in transferring.items():
            view = self._current[index]
            if view is None:  # its first event was a close of a socket that nobody knew
                record = self._records[at]
                view = self._current[index] = self._registry.open_from_event(record, self._now_ns)
                self._registry.apply(view, ViewInput.TRANSFERRED)
                self._use_descriptors(index, view)
            number_of_group[index] = view.number
            self._views[view.number] = view
        numbers = number_of_group[group]
        for index, changes in self._earlier.items():
            for row, view in reversed(changes):
                before = (group == index) & (transfers < row)
                if before.any():
                    numbers[before] = view.number
                    self._views[view.number] = view
        return numbers

    def _supplements(self, rows: list[int]) -> Supplements:
        """What the kernel says about connections beside their logs, as far as these are still known."""
        known, numbers = [], []
        for row in rows:
            record = self._records[row]
            view = self._registry.table.get(event_key(record))
            if view is None or _is_another(view, record):
                self._registry.information[_FORGOTTEN[EventKind(record.kind)]] += 1
                continue
            known.append(row)
            numbers.append(view.number)
            self._views[view.number] = view
        supplements = np.zeros(len(known), dtype=SUPPLEMENT)
        supplements["view"] = numbers
        supplements["kind"] = self._events["kind"][known]
        as_bytes(supplements["stages"])[:] = as_bytes(self._events["stages"])[known]
        return supplements

    def _merge(self, transfers: NDArray[np.intp], numbers: NDArray[np.int64]) -> Logs:
        """All logs in order of arrival."""
        rows = np.concatenate([transfers, np.array(self._rows, dtype=np.intp)])
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        kinds = np.concatenate([self._events["kind"][transfers], np.array(self._kinds, dtype=np.uint8)])[order]
        logs = np.zeros(len(rows), dtype=LOG)
        logs["view"] = np.concatenate([numbers, np.array(self._numbers, dtype=np.int64)])[order]
        logs["success"] = np.concatenate([np.ones(len(transfers), bool), np.array(self._success, dtype=bool)])[order]
        for name in ("start_ns", "end_ns", "system_call"):
            logs[name] = self._events[name][rows]
        as_bytes(logs["stages"])[:] = as_bytes(self._events["stages"]).take(rows)
        counted = self._events["flags"][rows] & EventFlag.PACKAGES_COUNTED
        uncounted = np.flatnonzero(_IS_TRANSFER[kinds] & (counted == 0))
        logs["stages"]["packages"][uncounted] = 1
        logs["stages"]["package_bytes"][uncounted] = self._events["bytes"][rows[uncounted]]
        result = self._events["result"][rows].astype(np.int64)
        logs["error"] = np.where((kinds == EventKind.CONNECT) & (result < 0), -result, 0)
        exited = kinds == EventKind.PROCESS_EXIT
        logs["start_ns"][exited] = logs["end_ns"][exited]  # the kernel closes them at that moment
        logs["kind"] = np.where(exited, EventKind.CLOSE, kinds)
        return logs


def _is_another(view: View, record: EventRecord) -> bool:
    """True when an event shows that a TCP socket's number belongs to another connection by now.

    Only the remote end tells: the kernel clears the local port of a connection that was reset.
    """
    return (
        record.kind in _WITHIN_A_CONNECTION
        and isinstance(view.key, int)
        and record.remote_port != 0
        and view.remote != endpoint(record.remote_address, record.remote_port)
    )


def _has_ends(view: View, record: EventRecord) -> bool:
    """True when a connect or accept is about the very connection that the view stands for."""
    return view.remote == endpoint(record.remote_address, record.remote_port) and (
        view.local == endpoint(record.local_address, record.local_port)
    )
