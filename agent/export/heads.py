"""What stands before the logs: the node at the beginning of a stream, a connection before its logs."""

import ipaddress

from agent.connections.view import View, endpoint_port
from agent.discovery.host import Interface
from agent.discovery.naming import Identity
from agent.discovery.socket_table import MAPPED_PREFIX
from agent.events.fragments import ConversationProtocol
from agent.events.layout import ADDRESS_BYTES
from agent.export.encoder import encode_varint
from protos.common import common_pb2
from protos.ebpf import accesslog_pb2 as wire

_SECOND = 1_000_000_000
_PROTOCOLS = {ConversationProtocol.HTTP1: wire.HTTP_1, ConversationProtocol.HTTP2: wire.HTTP_2}
_CONNECTION_TAG = encode_varint(
    wire.EBPFAccessLogMessage.DESCRIPTOR.fields_by_name["connection"].number << 3 | 2  # length-delimited
)


def address_text(address: bytes) -> str:
    """An address of 16 bytes as text: IPv4 when it is mapped, else IPv6 in the form of RFC 5952."""
    if address.startswith(MAPPED_PREFIX):
        return str(ipaddress.IPv4Address(address[len(MAPPED_PREFIX) :]))
    return str(ipaddress.IPv6Address(address))


def encode_node(
    name: str,
    cluster: str,
    exclude_namespaces: tuple[str, ...],
    interfaces: tuple[Interface, ...],
    *,
    addresses: tuple[bytes, ...],
    boot_time_ns: int,
) -> bytes:
    """A message that carries the node."""
    seconds, nanoseconds = divmod(boot_time_ns, _SECOND)
    node = wire.EBPFAccessLogNodeInfo(
        name=name,
        netInterfaces=[
            wire.EBPFAccessLogNodeNetInterface(index=interface.index, mtu=interface.mtu, name=interface.name)
            for interface in interfaces
        ],
        bootTime=common_pb2.Instant(seconds=seconds, nanos=nanoseconds),
        clusterName=cluster,
        policy=wire.EBPFAccessLogPolicy(excludeNamespaces=exclude_namespaces),
        addresses=map(address_text, addresses),
    )
    return wire.EBPFAccessLogMessage(node=node).SerializeToString(deterministic=True)


def encode_connection(view: View, remote: Identity | None) -> bytes:
    """The `connection` field of a message, with its tag; `remote` is None for an end outside of this host."""
    _, far_end = view.seen_from_afar
    connection = wire.AccessLogConnection(
        local=_known(view.process.identity, endpoint_port(view.local)),
        remote=_plain(far_end) if remote is None else _known(remote, endpoint_port(far_end)),
        role=int(view.role),  # type: ignore[arg-type] # DetectPoint's values
        tlsMode=wire.TLS if view.is_tls else wire.Plain,
        protocol=_PROTOCOLS.get(view.protocol_read, wire.TCP),
    ).SerializeToString(deterministic=True)
    return _CONNECTION_TAG + encode_varint(len(connection)) + connection


def _known(identity: Identity, port: int) -> wire.ConnectionAddress:
    return wire.ConnectionAddress(
        kubernetes=wire.KubernetesProcessAddress(
            serviceName=identity.service,
            podName=identity.instance,
            containerName=identity.container,
            processName=identity.process,
            port=port,
        )
    )


def _plain(value: bytes) -> wire.ConnectionAddress:
    return wire.ConnectionAddress(
        ip=wire.IPAddress(host=address_text(value[:ADDRESS_BYTES]), port=endpoint_port(value))
    )
