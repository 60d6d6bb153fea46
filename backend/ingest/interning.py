"""Nodes, connections and texts, parsed once per content.

A node and its connections come again in every stream, and so do the paths that are asked for. They are looked up by
their bytes, so that what is behind (entities, for one) can work per object instead of per log.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Generic, TypeVar, cast

from backend.ingest.batch import Address, Connection, DetectPoint, Node, Ztunnel
from protos.ebpf.accesslog_pb2 import (
    AccessLogConnection,
    AccessLogConnectionTLSMode,
    ConnectionAddress,
    ConnectionAttachment,
    EBPFAccessLogNodeInfo,
    ZTunnelAttachmentEnvironmentDetectBy,
    ZTunnelAttachmentSecurityPolicy,
)

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

NODES = 4_096
CONNECTIONS = 262_144
TEXTS = 65_536
LARGEST_NODE = 65_536
LARGEST_CONNECTION = 4_096
"""Bytes; a larger one is parsed each time and not kept, so that the cache is bounded in bytes too."""
LARGEST_TEXT = 1_024
"""Bytes of a text of a log; what is longer is cut."""
_LATEST_BOOT = 1 << 33  # seconds; the year 2242
_NANOSECONDS = 1_000_000_000
_ROLES = {int(role): role for role in DetectPoint if role != DetectPoint.UNRECOGNIZED}


class RecentCache(Generic[KeyT, ValueT]):
    """A bounded cache of what was used lately.

    Two generations: what is used moves to the young one; when that is full it becomes the old one, and the former old
    one is forgotten. A hit costs one look-up, which a list in order of use does not.
    """

    def __init__(self, capacity: int) -> None:
        self._half = max(capacity // 2, 1)
        self._young: dict[KeyT, ValueT] = {}
        self._old: dict[KeyT, ValueT] = {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def get(self, key: KeyT) -> ValueT | None:
        """The value, or None if it is not, or no longer, known."""
        value = self._young.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self.put(key, value)
        return value

    def get_all(self, keys: Iterable[KeyT]) -> list[ValueT | None]:
        """As `get` for each key; those that were used before the last turn of generations may be missed."""
        return list(map(self._young.get, keys))

    def put(self, key: KeyT, value: ValueT) -> None:
        """Remember a value."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A node with the bytes it was described by, which stand for it in keys."""

    data: bytes
    node: Node


NO_NODE = KnownNode(b"", Node("", "", 0, {}))
"""The node of a stream that has not named one."""


class Interner:
    """The nodes, connections and texts of a process, bounded."""

    def __init__(self, nodes: int = NODES, connections: int = CONNECTIONS, texts: int = TEXTS) -> None:
        self._nodes: RecentCache[bytes, KnownNode] = RecentCache(nodes)
        self._connections: RecentCache[tuple[bytes, bytes], Connection | _NoAddress] = RecentCache(connections)
        self._texts: RecentCache[bytes, str] = RecentCache(texts)

    def node(self, data: bytes) -> KnownNode:
        """The node that these bytes describe; they are known to parse."""
        known = self._nodes.get(data)
        if known is None:
            known = KnownNode(data, _parse_node(data))
            if len(data) <= LARGEST_NODE:
                self._nodes.put(data, known)
        return known

    def connections(self, node: KnownNode, data: list[bytes]) -> list[Connection | None]:
        """The connections that these bytes describe, None for one that lacks an address. They are known to parse."""
        found = self._connections.get_all(zip(repeat(node.data), data))
        if None in found or _NO_ADDRESS in found:
            return [
                self._known(connection) if connection else self._connection(node, item)
                for connection, item in zip(found, data, strict=True)
            ]
        return cast("list[Connection | None]", found)

    def texts(self, data: list[bytes]) -> list[str]:
        """The texts that these bytes are, UTF-8 of at most LARGEST_TEXT bytes; a character that was cut is left out."""
        found = self._texts.get_all(data)
        return [self._text(item) if text is None else text for text, item in zip(found, data, strict=True)]

    def _text(self, data: bytes) -> str:
        text = self._texts.get(data)
        if text is None:
            text = data.decode(errors="ignore")
            self._texts.put(data, text)
        return text

    def _connection(self, node: KnownNode, data: bytes) -> Connection | None:
        key = (node.data, data)
        connection = self._connections.get(key)
        if connection is None:
            connection = _parse_connection(node.node, data) or _NO_ADDRESS
            if len(data) <= LARGEST_CONNECTION and len(node.data) <= LARGEST_NODE:
                self._connections.put(key, connection)
        return self._known(connection)

    @staticmethod
    def _known(connection: "Connection | _NoAddress") -> Connection | None:
        return None if isinstance(connection, _NoAddress) else connection


class _NoAddress:
    """Remembered in place of a connection that lacks an address."""


_NO_ADDRESS = _NoAddress()


def _parse_node(data: bytes) -> Node:
    message = EBPFAccessLogNodeInfo.FromString(data)
    seconds, nanos = message.bootTime.seconds, message.bootTime.nanos
    known = 0 < seconds < _LATEST_BOOT and 0 <= nanos < _NANOSECONDS
    return Node(
        name=message.name,
        cluster=message.clusterName,
        boot_time_ns=seconds * _NANOSECONDS + nanos if known else 0,
        interfaces={interface.index: interface.name for interface in message.netInterfaces},
        # An agent that excludes nothing says so with one empty name.
        excluded_namespaces=frozenset(message.policy.excludeNamespaces) - {""},
        addresses=tuple(message.addresses),
    )


def _parse_connection(node: Node, data: bytes) -> Connection | None:
    message = AccessLogConnection.FromString(data)
    local, remote = _address(message.local), _address(message.remote)
    if local is None or remote is None:
        return None
    return Connection(
        node=node,
        local=local,
        remote=_real(remote, message.attachment),
        role=_ROLES.get(message.role, DetectPoint.UNRECOGNIZED),
        tls=message.tlsMode == AccessLogConnectionTLSMode.TLS,
        protocol=message.protocol,
        ztunnel=_ztunnel(message.attachment),
    )


def _ztunnel(attachment: ConnectionAttachment) -> Ztunnel | None:
    if attachment.WhichOneof("environment") != "zTunnel":
        return None
    return Ztunnel(attachment.zTunnel.security_policy == ZTunnelAttachmentSecurityPolicy.MTLS)


def _real(remote: Address, attachment: ConnectionAttachment) -> Address:
    """The remote address behind a mesh, where the mesh has said which one it chose for what goes out."""
    chosen = attachment.zTunnel.real_destination_ip
    outbound = attachment.zTunnel.by == ZTunnelAttachmentEnvironmentDetectBy.ZTUNNEL_OUTBOUND_FUNC
    return replace(remote, host=chosen) if chosen and outbound and not remote.is_process else remote


def _address(message: ConnectionAddress) -> Address | None:
    match message.WhichOneof("address"):
        case "kubernetes":
            process = message.kubernetes
            return Address(process.serviceName, process.podName, process.processName, "", process.port)
        case "ip":
            return Address("", "", "", message.ip.host, message.ip.port)
        case _:
            return None
