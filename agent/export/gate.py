"""Which logs go on, which wait for names, and which end here, by what is known of the processes at both ends."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from agent.connections.logs import LOG, SUPPLEMENT, Logs, Supplements, TrackedLogs
from agent.connections.view import View
from agent.discovery.standing import Standing
from agent.events.rows import Table, join, take
from agent.export.accounting import Ledger, Loss
from agent.protocols.conversations import Told


class Gate:
    """Stands before what collects logs for a flush. Everything that passes has been captured."""

    def __init__(self, ledger: Ledger, standing: Callable[[View], Standing], capacity: int) -> None:
        """Nothing waits yet.

        Args:
            ledger: Where logs are taken back that nobody wants, and lost that have no names.
            standing: What becomes of the logs of a connection.
            capacity: Logs that may wait; further ones are lost.
        """
        self._ledger = ledger
        self._standing = standing
        self._capacity = capacity
        self._logs: list[Logs] = []
        self._supplements: list[Supplements] = []
        self._told: list[Told] = []
        self._views: dict[int, View] = {}
        self._rows = 0
        """Supplements that wait. They are bounded as logs are; without them a connection's quality says less."""
        self.waiting = 0
        """Logs, of the kernel and of exchanges, that wait."""

    def pass_logs(self, tracked: TrackedLogs) -> TrackedLogs:
        """Those that go on now."""
        standings = {number: self._standing(view) for number, view in tracked.views.items()}
        if all(standing is Standing.TOLD for standing in standings.values()):
            return tracked
        logs, waiting = self._sort(tracked.logs, standings)
        # Of supplements nothing is counted: they are no logs.
        going = take(tracked.supplements, _rows(tracked.supplements, standings, Standing.TOLD))
        if len(waiting):
            self._logs.append(waiting)
        later = take(tracked.supplements, _rows(tracked.supplements, standings, Standing.AWAITED))
        if len(later) and self._rows < self._capacity:
            self._supplements.append(later)
            self._rows += len(later)
        for number, view in tracked.views.items():
            if standings[number] is Standing.AWAITED:
                self._views[number] = view
        views = {number: view for number, view in tracked.views.items() if standings[number] is Standing.TOLD}
        return TrackedLogs(logs, views, going)

    def pass_told(self, told: Sequence[Told]) -> Sequence[Told]:
        """The exchanges that go on now."""
        standings = {item.view.number: self._standing(item.view) for item in told}
        if all(standing is Standing.TOLD for standing in standings.values()):
            return told
        by_standing: dict[Standing, list[Told]] = {standing: [] for standing in Standing}
        for item in told:
            by_standing[standings[item.view.number]].append(item)
        waiting = by_standing[Standing.AWAITED]
        room = max(self._capacity - self.waiting, 0)
        self._ledger.withdraw(len(by_standing[Standing.LEFT_OUT]))
        self._ledger.lose(len(by_standing[Standing.UNKNOWN]) + len(waiting[room:]), Loss.POD_UNKNOWN)
        self._told += waiting[:room]
        self.waiting += len(waiting[:room])
        return by_standing[Standing.TOLD]

    def release(self) -> tuple[TrackedLogs, Sequence[Told]]:
        """What waited and goes on now, in the order in which it came."""
        tracked = TrackedLogs(join(self._logs, LOG), self._views, join(self._supplements, SUPPLEMENT))
        told = self._told
        self._logs, self._supplements, self._told, self._views, self.waiting, self._rows = [], [], [], {}, 0, 0
        return self.pass_logs(tracked), self.pass_told(told)

    def give_up(self) -> None:
        """Lose what waits: nothing more will be told of its processes."""
        self._ledger.lose(self.waiting, Loss.POD_UNKNOWN)
        self._logs, self._supplements, self._told, self._views, self.waiting, self._rows = [], [], [], {}, 0, 0

    def _sort(self, logs: Logs, standings: dict[int, Standing]) -> tuple[Logs, Logs]:
        """The logs that go on and those that wait; the others are booked."""
        waiting = _rows(logs, standings, Standing.AWAITED)
        room = max(self._capacity - self.waiting, 0)
        self._ledger.withdraw(len(_rows(logs, standings, Standing.LEFT_OUT)))
        unknown = len(_rows(logs, standings, Standing.UNKNOWN))
        self._ledger.lose(unknown + len(waiting[room:]), Loss.POD_UNKNOWN)
        self.waiting += len(waiting[:room])
        return take(logs, _rows(logs, standings, Standing.TOLD)), take(logs, waiting[:room])


def _rows(table: Table, standings: dict[int, Standing], wanted: Standing) -> NDArray[np.intp]:
    """The rows of views whose processes stand like that."""
    numbers = [number for number, standing in standings.items() if standing is wanted]
    return np.flatnonzero(np.isin(table["view"], np.array(numbers, dtype=np.int64)))
