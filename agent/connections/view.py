"""One connection as one process sees it."""

from agent.connections.state import ViewState
from agent.discovery.processes import Process
from agent.events.fragments import ConversationProtocol
from agent.events.layout import Role

ENDPOINT_BYTES = 18
"""An address of 16 bytes and a port of 2, big-endian."""

ViewKey = int | tuple[int, bytes]
"""A process's socket; with a remote endpoint for UDP."""


class View:
    """A process's socket and the peer it is connected to (or, for UDP, exchanges datagrams with)."""

    __slots__ = (
        "connected_ns",
        "conversations",
        "descriptors",
        "followed",
        "head",
        "head_names",
        "inode",
        "is_tls",
        "key",
        "last_seen_ns",
        "listener",
        "local",
        "network_namespace",
        "number",
        "process",
        "protocol",
        "protocol_read",
        "remote",
        "role",
        "state",
        "translated",
    )

    def __init__(
        self,
        *,
        number: int,
        key: ViewKey,
        inode: int,
        process: Process,
        network_namespace: int,
        protocol: int,
        local: bytes,
        remote: bytes,
        role: Role,
        now_ns: int,
    ) -> None:
        self.number = number
        """Never used twice; a view that began later has a higher one."""
        self.key = key
        self.inode = inode
        self.process = process
        self.network_namespace = network_namespace
        self.protocol = protocol
        self.local = local
        """Address and port, ENDPOINT_BYTES."""
        self.remote = remote
        self.role = role
        self.listener: Process | None = None
        """Who listened at the remote end when this process connected, if that was on this host and known."""
        self.connected_ns = 0
        """CLOCK_MONOTONIC when its connect was called; 0 when that was not seen."""
        self.followed = False
        """Whether translations of its ends were looked for."""
        self.translated: tuple[bytes, bytes] | None = None
        """`local` and `remote` as the far end has them, when they are translated on the way."""
        self.state = ViewState.NEW
        self.descriptors: tuple[int, ...] = ()
        """Descriptors of the process that are known to refer to the socket."""
        self.last_seen_ns = now_ns
        self.conversations: tuple[int, ...] = ()
        """What is read of its payload: TLS sessions, 0 for plain text."""
        self.protocol_read = ConversationProtocol.UNKNOWN
        """What its payload is read as."""
        self.is_tls = False
        """Whether its bytes are those of TLS."""
        self.head: bytes = b""
        """The serialised connection as last sent."""
        self.head_names: object = None
        """The names that `head` was made of."""

    @property
    def seen_from_afar(self) -> tuple[bytes, bytes]:
        """`local` and `remote` as the far end has them, as far as that is known."""
        return self.translated or (self.local, self.remote)


def endpoint(address: bytes, port: int) -> bytes:
    """An address and a port as one value."""
    return address + port.to_bytes(2)


def endpoint_port(value: bytes) -> int:
    """The port of an endpoint."""
    return int.from_bytes(value[-2:])
