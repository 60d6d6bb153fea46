"""The agent without its edges: events and time go in, streams of access logs come out.

`run`, `record` and `replay` drive this same object. It asks nothing but its host, and reads no clock.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from agent.config import Configuration
from agent.connections.peers import Peers
from agent.connections.registry import ViewRegistry
from agent.connections.startup import adopt_open_connections
from agent.connections.state import ViewState
from agent.connections.table import ViewTable
from agent.connections.tracker import Tracker
from agent.connections.verification import Verification
from agent.connections.view import View
from agent.conntrack.remotes import Remotes
from agent.discovery.drops import DropReasons
from agent.discovery.host import Host, ProcessFacts, SocketScan
from agent.discovery.interfaces import NodeInterfaces
from agent.discovery.kubernetes.names import PodNames
from agent.discovery.naming import Naming
from agent.discovery.node_addresses import NodeAddresses
from agent.discovery.owners import SocketOwners
from agent.discovery.processes import ProcessTable
from agent.discovery.standing import Standing
from agent.events.fragments import Fragment
from agent.events.layout import Events
from agent.export.accounting import Ledger
from agent.export.assembler import Assembler, Batch
from agent.export.gate import Gate
from agent.export.heads import encode_connection, encode_node
from agent.export.holding import NOTHING_HELD, Holds
from agent.protocols.conversations import Conversations, Told

AGENT_SERVICE = "pyrover-agent"
"""The service name of the agent itself."""

SHORTEST_PAUSE_NS = 200_000_000
"""How long after a flush the next one is due at the earliest, however short its period: what is taken meanwhile is sent
sooner."""

RESCAN_SECONDS = (2.0, 64.0)
"""When local peers have no name yet, the sockets of the host are read again after the first of these pauses; a pause is
twice as long as the one before, up to the second of these, as long as names are missing."""


class Report(Protocol):
    """Gives what the agent tells of itself."""

    def __call__(self, now_ns: int, *, alone: bool) -> bytes:
        """A serialised message, or nothing when none is due; `alone` when it would be a stream of its own."""
        ...


def _no_report(now_ns: int, *, alone: bool) -> bytes:  # noqa: ARG001 - as Report has them
    return b""


class Pipeline:
    """Events to batches."""

    def __init__(
        self,
        configuration: Configuration,
        node_name: str,
        agent_process: int,
        *,
        host: Host,
        ledger: Ledger,
        deliver: Callable[[Batch], None],
        mute: Callable[[int, int], None] = lambda _socket, _inode: None,
        pods: PodNames | None = None,
        exclude: Callable[[ProcessFacts], bool] = lambda _process: False,
        report: Report = _no_report,
    ) -> None:
        """Start with nothing known.

        Args:
            configuration: What the user wants.
            node_name: The instance of this host's services.
            agent_process: The agent's own process id; it is the far end of the backend's connection.
            host: Answers questions about processes and sockets.
            ledger: Where captured logs are booked.
            deliver: Takes each finished batch.
            mute: Tells the kernel that no more bytes of a socket, of this inode, are wanted.
            pods: What processes are called, where this host is a node of a cluster.
            exclude: Tells the kernel that no more events of a process are wanted; says whether that is so now.
            report: Is asked at each flush for what the agent tells of itself.
        """
        self._configuration = configuration
        self._node_name = node_name
        self._host = host
        self._deliver = deliver
        self._ledger = ledger
        self._report = report
        limits = configuration.limits
        self.processes = ProcessTable(
            host,
            Naming(node_name, configuration.rules(), {agent_process: AGENT_SERVICE}),
            limits.processes,
            pods,
            exclude,
        )
        self.owners = SocketOwners(limits.listeners)
        self.table = ViewTable(limits.connections)
        self.registry = ViewRegistry(self.table, self.processes, self.owners)
        self._tracker = Tracker(self.registry)
        self._verification = Verification(self.registry, host)
        self._peers = Peers(self.table, self.owners)
        self.remotes = Remotes(self.table, limits.translations)
        self._interfaces = NodeInterfaces(host)
        self.addresses = NodeAddresses()
        self._drop_reasons = DropReasons(host)
        self._gate = Gate(ledger, self._standing, limits.unnamed_logs)
        self._assembler = Assembler()
        self.conversations = Conversations(self.table, limits.conversations, mute)
        self._flushed_ns = 0
        self._scanned_ns = 0
        self._rescan_pause = RESCAN_SECONDS[0]
        self.events = 0
        """Events taken in."""

    @property
    def pending(self) -> int:
        """Logs that wait for the next flush, or for the names of their processes."""
        return self._assembler.count + self._gate.waiting

    @property
    def flush_due_ns(self) -> int:
        """CLOCK_MONOTONIC at which a step is due for the next flush, if there is no reason for one before."""
        return self._flushed_ns + max(int(self._configuration.access_log.flush.period * 1e9), SHORTEST_PAUSE_NS)

    @property
    def troubles(self) -> Mapping[str, int]:
        """What went wrong on connections so far, and how often."""
        return self._assembler.troubles

    def start(self, now_ns: int) -> None:
        """Take on the connections that are open already. `now_ns` is CLOCK_MONOTONIC."""
        self._flushed_ns = now_ns
        self.processes.refresh(now_ns)
        adopt_open_connections(self._scan(now_ns), self.registry, now_ns)

    def step(self, events: Events, now_ns: int, fragments: Sequence[Fragment] = ()) -> None:
        """Take events in, and flush when there are enough logs or it is time to.

        Args:
            events: In order of arrival.
            now_ns: CLOCK_MONOTONIC.
            fragments: Captured payload, taken after the events.
        """
        self.remotes.learn(self._host.translations({}), now_ns)
        self.processes.refresh(now_ns)
        if self._gate.waiting:
            released, exchanges = self._gate.release()
            self._assembler.append(released)
            self._assembler.tell(exchanges)
        flush = self._configuration.access_log.flush
        ended: list[View] = []
        for first in range(0, len(events), flush.max_count):
            portion = events[first : first + flush.max_count]
            self.events += len(portion)
            tracked = self._tracker.process(portion, now_ns)
            self.remotes.follow(tracked)
            self._ledger.capture(len(tracked.logs))
            self._assembler.append(self._gate.pass_logs(tracked))
            ended += [view for view in tracked.views.values() if view.state is ViewState.ENDED]
            if self._assembler.size >= flush.max_count and first + flush.max_count < len(events):
                # What is read of connections is still to come: their logs wait for it.
                self._hand_on(now_ns, Holds(now_ns, lambda view: bool(view.conversations)))
        if namespaces := self.remotes.namespaces():
            # At once: that of a connection is found by its process, which may end soon.
            self.remotes.learn(self._host.translations(namespaces), now_ns)
        self._tell(self.conversations.process(fragments, ended, now_ns))
        self._verification.tick(now_ns)
        if self._assembler.size >= flush.max_count or now_ns - self._flushed_ns >= flush.period * 1e9:
            self.flush(now_ns)

    def flush(self, now_ns: int) -> None:
        """Hand on everything collected so far, except what waits for the exchange that it is part of."""
        self._flushed_ns = now_ns
        self._tell(self.conversations.due(now_ns))
        self._hand_on(now_ns, Holds(now_ns, self.conversations.is_busy))
        self._report_alone(now_ns)
        self.table.forget_ended(now_ns)

    def finish(self, now_ns: int) -> None:
        """Hand on everything: nothing comes after it."""
        self._tell(self.conversations.due(now_ns))
        self._tell(self.conversations.finish())
        self._gate.give_up()
        self._hand_on(now_ns, NOTHING_HELD)
        self.table.forget_ended(now_ns)

    def _tell(self, told: Sequence[Told]) -> None:
        self._ledger.capture(len(told))
        self._assembler.tell(self._gate.pass_told(told))

    def _hand_on(self, now_ns: int, holds: Holds) -> None:
        if self._assembler.count or self._assembler.size:
            self._rescan(now_ns)
            self._peers.unresolved = False
            self._interfaces.begin(now_ns)
            for batch in self._assembler.flush(
                partial(self._node, now_ns), self._head, self._interfaces, self._drop_reasons.name, holds
            ):
                self._deliver(batch)

    def _report_alone(self, now_ns: int) -> None:
        """Tell of the agent when no logs have taken that along for a while."""
        if report := self._report(now_ns, alone=True):
            self._interfaces.begin(now_ns)
            self._deliver(Batch([self._described() + report], 0))

    def _rescan(self, now_ns: int) -> None:
        """Read the sockets again when that may give names to local peers, less and less often."""
        if not self._peers.unresolved:
            self._rescan_pause = RESCAN_SECONDS[0]
        elif now_ns - self._scanned_ns >= self._rescan_pause * 1e9:
            self._scan(now_ns)
            self._rescan_pause = min(2 * self._rescan_pause, RESCAN_SECONDS[1])

    def _scan(self, now_ns: int) -> SocketScan:
        """Read the sockets of the host, and with them who listens where."""
        scan = self._host.sockets()
        self.owners.load(scan, self.processes)
        self._scanned_ns = now_ns
        return scan

    def _node(self, now_ns: int) -> bytes:
        """A message that carries the node, and the agent's report when one is due."""
        return self._described() + self._report(now_ns, alone=False)

    def _described(self) -> bytes:
        """A message that carries the node."""
        return encode_node(
            self._node_name,
            self._configuration.core.cluster_name,
            tuple(filter(None, self._configuration.access_log.exclude_namespaces.split(","))),
            self._interfaces.listed(),
            addresses=self.addresses.listed(self._host.addresses()),
            boot_time_ns=self._host.boot_time_ns(),
        )

    def _standing(self, view: View) -> Standing:
        """What becomes of the logs of a view: they wait for the names of both ends, but are told for its own alone."""
        standing = view.process.standing
        if standing is Standing.TOLD and self.processes.awaited:
            remote = self._peers.find(view)
            if remote is not None and remote.standing is Standing.AWAITED:
                return Standing.AWAITED
        return standing

    def _head(self, view: View) -> bytes:
        """The serialised connection of a view, made anew only when a name has changed."""
        remote = self._peers.find(view)
        if remote is not None and remote.standing is not Standing.TOLD:
            remote = None
        names = (view.process.identity, remote.identity if remote else None, view.role, view.translated)
        says = (*names, view.is_tls, view.protocol_read)
        if view.head_names != says:
            view.head = encode_connection(view, names[1])
            view.head_names = says
        return view.head
