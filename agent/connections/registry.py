"""Opens, moves and ends connection views; keeps the table and the look-up queue in step with their states."""

from collections import Counter

from agent.connections.grouping import UDP, socket_key
from agent.connections.state import ViewInput, ViewState, transition
from agent.connections.table import ViewTable
from agent.connections.view import View, ViewKey, endpoint, endpoint_port
from agent.discovery.host import SocketFacts
from agent.discovery.owners import SocketOwners
from agent.discovery.processes import Process, ProcessTable
from agent.events.layout import ADDRESS_BYTES, Role
from agent.events.records import EventRecord

_DESCRIPTORS = 16
"""Descriptors remembered per view; a socket with more of them is rare and then found by a look-up."""


class ViewRegistry:
    """The one place where views begin and change state."""

    def __init__(self, table: ViewTable, processes: ProcessTable, owners: SocketOwners) -> None:
        self.table = table
        self.processes = processes
        self._owners = owners
        self.information: Counter[str] = Counter()
        """What happened that by design is no log of a connection, by reason. These are not losses."""
        self.closing: dict[int, View] = {}
        """Views whose known descriptors are all closed and that may have others, by number: to be looked up."""
        self._numbers = 0

    def open_from_event(self, record: EventRecord, now_ns: int) -> View:
        """Begin the view that an event is about, in place of any that has its key."""
        return self._open(
            key=event_key(record),
            inode=record.inode,
            process=self.processes.seen(record.process, record.command),
            network_namespace=record.network_namespace,
            protocol=record.protocol,
            local=endpoint(record.local_address, record.local_port),
            remote=endpoint(record.remote_address, record.remote_port),
            role=Role.SERVER if record.role == Role.SERVER else Role.CLIENT,
            now_ns=now_ns,
        )

    def adopt(self, socket: SocketFacts, process: Process, descriptor: int, role: Role, now_ns: int) -> None:
        """Take on a connection that was open before the agent started, or one more descriptor of it."""
        remote = endpoint(socket.remote_address, socket.remote_port)
        plain = socket_key(process.pid, socket.inode)
        key: ViewKey = (plain, remote) if socket.protocol == UDP else plain
        view = self.table.get(key) or self._open(
            key=key,
            inode=socket.inode,
            process=process,
            network_namespace=socket.network_namespace,
            protocol=socket.protocol,
            local=endpoint(socket.local_address, socket.local_port),
            remote=remote,
            role=role,
            now_ns=now_ns,
        )
        self.apply(view, ViewInput.OPENED)
        self.add_descriptor(view, descriptor)

    def connected(self, view: View) -> None:
        """Learn who listens at the remote end now: by the time the logs are sent it may be gone."""
        address, port = view.remote[:ADDRESS_BYTES], endpoint_port(view.remote)
        view.listener = self._owners.listener(view.network_namespace, view.protocol, address, port)

    def listens(self, record: EventRecord) -> None:
        """A socket of a process began to listen."""
        process = self.processes.seen(record.process, record.command)
        self.processes.listens(process, record.local_port)
        self._owners.learn(record.network_namespace, record.protocol, record.local_address, record.local_port, process)

    def listens_no_more(self, record: EventRecord) -> None:
        """The last descriptor of a listening socket was closed."""
        self._owners.forget(record.network_namespace, record.protocol, record.local_address, record.local_port)

    def process_left(self, pid: int) -> None:
        """A process has exited: its id may come back as another one, and it listens no more."""
        process = self.processes.known(pid)
        if process is not None:
            self._owners.forget_process(process)
        self.processes.left(pid)

    def accepted(self, view: View) -> None:
        """Learn from an accepted connection where its process listens."""
        address, port = view.local[:ADDRESS_BYTES], endpoint_port(view.local)
        self.processes.listens(view.process, port)
        self._owners.learn(view.network_namespace, view.protocol, address, port, view.process)

    def apply(self, view: View, happened: ViewInput) -> bool:
        """Move a view to its next state. True when that closes a connection and is to be reported."""
        before = view.state
        view.state, reported = transition(before, happened)
        if view.state is ViewState.ENDED and before is not ViewState.ENDED:
            self.table.ended(view)
        if view.state is ViewState.CLOSING:
            self.closing[view.number] = view
        else:
            self.closing.pop(view.number, None)
        return reported

    def add_descriptor(self, view: View, descriptor: int) -> None:
        """Note a descriptor that refers to the view's socket."""
        if descriptor >= 0 and descriptor not in view.descriptors and len(view.descriptors) < _DESCRIPTORS:
            view.descriptors = (*view.descriptors, descriptor)

    def remove_descriptor(self, view: View, descriptor: int) -> None:
        """Note that a descriptor was closed."""
        if descriptor in view.descriptors:
            view.descriptors = tuple(known for known in view.descriptors if known != descriptor)

    def _open(
        self,
        *,
        key: ViewKey,
        inode: int,
        process: Process,
        network_namespace: int,
        protocol: int,
        local: bytes,
        remote: bytes,
        role: Role,
        now_ns: int,
    ) -> View:
        replaced = self.table.get(key)
        if replaced is not None:
            self.closing.pop(replaced.number, None)
        self._numbers += 1
        view = View(
            number=self._numbers,
            key=key,
            inode=inode,
            process=process,
            network_namespace=network_namespace,
            protocol=protocol,
            local=local,
            remote=remote,
            role=role,
            now_ns=now_ns,
        )
        for evicted in self.table.add(view):
            self.closing.pop(evicted.number, None)
        return view


def event_key(record: EventRecord) -> ViewKey:
    """The key of the view that an event is about. A close is about the socket, whatever its remote end."""
    key = socket_key(record.process, record.inode)
    if record.protocol == UDP:
        return key, endpoint(record.remote_address, record.remote_port)
    return key
