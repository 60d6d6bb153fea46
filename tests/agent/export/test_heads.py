import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.host import Interface
from agent.discovery.naming import Identity
from agent.events.layout import EventKind, Role
from agent.export.heads import address_text, encode_connection, encode_node
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.synthetic import SECOND, World, address, event, facts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("::", "::"),
        ("::1", "::1"),
        ("0.0.0.0", "0.0.0.0"),
    ],
)
def test_addresses_as_text(text: str, shown: str) -> None:
    assert address_text(address(text)) == shown


@given(st.ip_addresses())
def test_an_address_comes_back(value: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    shown = ipaddress.ip_address(address_text(address(str(value))))
    assert shown == (getattr(value, "ipv4_mapped", None) or value)


OWN = (address("10.1.2.3"), address("2001:db8::7"))


def test_node() -> None:
    interfaces = (Interface(2, 1500, "eth0"),)
    encoded = encode_node("n", "c", ("a", "b"), interfaces, addresses=OWN, boot_time_ns=1_700_000_000 * SECOND + 5)
    node = wire.EBPFAccessLogMessage.FromString(encoded).node
    assert (node.name, node.clusterName, list(node.policy.excludeNamespaces)) == ("n", "c", ["a", "b"])
    assert [(found.index, found.mtu, found.name) for found in node.netInterfaces] == [(2, 1500, "eth0")]
    assert list(node.addresses) == ["10.1.2.3", "2001:db8::7"]
    assert (node.bootTime.seconds, node.bootTime.nanos) == (1_700_000_000, 5)


@pytest.mark.parametrize("role", [Role.CLIENT, Role.SERVER])
def test_connection(role: Role) -> None:
    world = World()
    world.host.processes[100] = facts(100, "/opt/shop")
    kind = EventKind.CONNECT if role is Role.CLIENT else EventKind.ACCEPT
    tracked = world.track(event(kind, local=("10.0.0.1", 40000), remote=("2001:db8::9", 443)))
    (view,) = tracked.views.values()
    outside = wire.EBPFAccessLogMessage.FromString(encode_connection(view, None)).connection
    assert outside.local.kubernetes == wire.KubernetesProcessAddress(
        serviceName="shop", podName="node-1", containerName="", processName="shop", port=40000
    )
    assert outside.remote.ip == wire.IPAddress(host="2001:db8::9", port=443)
    assert outside.role == int(role)
    assert (outside.tlsMode, outside.protocol) == (wire.Plain, wire.TCP)
    known = wire.EBPFAccessLogMessage.FromString(encode_connection(view, Identity("db", "i", "c", "p"))).connection
    assert known.remote.kubernetes == wire.KubernetesProcessAddress(
        serviceName="db", podName="i", containerName="c", processName="p", port=443
    )
