"""Which process holds which socket of this host: names the far end of connections that stay here."""

from collections.abc import Iterable

from agent.discovery.host import SocketFacts, SocketScan
from agent.discovery.processes import Process, ProcessTable
from agent.discovery.socket_table import MAPPED_PREFIX, is_loopback

_ANY = (bytes(16), MAPPED_PREFIX + bytes(4))


class SocketOwners:
    """Owners of listening sockets and of connections between own addresses, and the addresses of each namespace.

    Filled by scans of the host, and in between by sockets that begin and end to listen, and by accepted connections.
    """

    def __init__(self, capacity: int) -> None:
        """Keep at most `capacity` listeners, and as many connections."""
        self._capacity = capacity
        self._listeners: dict[tuple[int, int, int], dict[bytes, Process]] = {}
        self._connections: dict[tuple[int, bytes, int, bytes, int], tuple[int, Process]] = {}
        self._namespaces_of: dict[bytes, set[int]] = {}
        self._namespaces: set[int] = set()
        self.refused = 0
        """Sockets that were not noted for want of room."""

    def load(self, scan: SocketScan, processes: ProcessTable) -> None:
        """Replace what is known by a scan. Of several processes that share a socket the first one stands for it."""
        self._listeners.clear()
        self._connections.clear()
        self._namespaces_of.clear()
        self._namespaces = set(scan.own_addresses)
        for namespace, addresses in scan.own_addresses.items():
            for address in addresses:
                self._namespaces_of.setdefault(address, set()).add(namespace)
        for socket in scan.sockets:
            remote = socket.remote_address
            if not socket.owners or not (socket.listening or self._has(remote)):
                continue
            if not socket.listening and self._speaks_for_another(socket):
                continue
            process = processes.adopt(socket.owners[0][0])
            if process is None:
                continue
            if socket.listening:
                processes.listens(process, socket.local_port)
                key = (socket.network_namespace, socket.protocol, socket.local_port)
                self._add_listener(key, socket.local_address, process)
            elif len(self._connections) < self._capacity:
                ends = (socket.local_address, socket.local_port, remote, socket.remote_port)
                self._connections[socket.protocol, *ends] = socket.network_namespace, process
            else:
                self.refused += 1

    def learn(self, namespace: int, protocol: int, address: bytes, port: int, process: Process) -> None:
        """Note that a process listens on this port: on `address`, or on all of its namespace's."""
        if (
            address not in _ANY
            and not is_loopback(address)
            and (address in self._namespaces_of or len(self._namespaces_of) < self._capacity)
        ):
            self._namespaces_of.setdefault(address, set()).add(namespace)
        self._add_listener((namespace, protocol, port), address, process)

    def forget(self, namespace: int, protocol: int, address: bytes, port: int) -> None:
        """Note that nobody listens on this port any more: on `address`, or on any."""
        key = namespace, protocol, port
        self._remove(key, list(self._listeners.get(key, ())) if address in _ANY else [address])

    def forget_process(self, process: Process) -> None:
        """Note that a process has ended: it listens nowhere. Others that share its sockets are found by a scan."""
        if process.ports:
            for key in [key for key in self._listeners if key[2] in process.ports]:
                self._remove(key, [bound for bound, owner in self._listeners[key].items() if owner is process])

    def is_of(self, namespace: int, address: bytes) -> bool:
        """True for an address that is known as one of this namespace."""
        return is_loopback(address) or namespace in self._namespaces_of.get(address, ())

    def is_own(self, namespace: int, address: bytes) -> bool:
        """True for an address of this host, and for any in a namespace that no scan has seen yet."""
        return self._has(address) or namespace not in self._namespaces

    def connected(
        self, namespace: int, protocol: int, local: tuple[bytes, int], remote: tuple[bytes, int]
    ) -> Process | None:
        """The process that held the connection with these ends at the last scan; for loopback, in this namespace."""
        found = self._connections.get((protocol, *local, *remote))
        if found is None or (is_loopback(local[0]) and found[0] != namespace):
            return None
        return found[1]

    def listener(self, namespace: int, protocol: int, address: bytes, port: int) -> Process | None:
        """The process that a connection from `namespace` to this address and port reaches on this host."""
        if is_loopback(address):
            return self._listener_in(namespace, protocol, address, port)
        owning = self._namespaces_of.get(address, set())
        for candidate in sorted(owning, key=lambda other: (other != namespace, other)):
            process = self._listener_in(candidate, protocol, address, port)
            if process is not None:
                return process
        return None

    def _speaks_for_another(self, socket: SocketFacts) -> bool:
        """True for a proxy's end of a connection to its own namespace, under an address from elsewhere."""
        namespace = socket.network_namespace
        return self.is_of(namespace, socket.remote_address) and not self.is_of(namespace, socket.local_address)

    def _has(self, address: bytes) -> bool:
        return is_loopback(address) or address in self._namespaces_of

    def _listener_in(self, namespace: int, protocol: int, address: bytes, port: int) -> Process | None:
        listeners = self._listeners.get((namespace, protocol, port), {})
        return next((listeners[bound] for bound in (address, *_ANY) if bound in listeners), None)

    def _remove(self, key: tuple[int, int, int], addresses: Iterable[bytes]) -> None:
        listeners = self._listeners.get(key, {})
        for address in addresses:
            listeners.pop(address, None)
        if not listeners:
            self._listeners.pop(key, None)

    def _add_listener(self, key: tuple[int, int, int], address: bytes, process: Process) -> None:
        if key not in self._listeners and len(self._listeners) >= self._capacity:
            self.refused += 1
            return
        self._listeners.setdefault(key, {})[address] = process
