import pytest

from backend.ingest import interning
from backend.ingest.batch import Ztunnel
from backend.ingest.interning import NO_NODE, Interner, RecentCache
from protos.ebpf.accesslog_pb2 import AccessLogConnection, EBPFAccessLogNodeInfo
from protos.ebpf.accesslog_pb2 import ZTunnelAttachmentEnvironmentDetectBy as DetectBy
from protos.ebpf.accesslog_pb2 import ZTunnelAttachmentSecurityPolicy as Policy


def connection(host: str = "10.0.0.2") -> bytes:
    made = AccessLogConnection()
    made.local.kubernetes.serviceName = "shop.default"
    made.local.kubernetes.podName = "shop-1"
    made.local.kubernetes.processName = "java"
    made.local.kubernetes.port = 8080
    made.remote.ip.host = host
    made.remote.ip.port = 3306
    return made.SerializeToString()


def node(name: str = "n") -> bytes:
    made = EBPFAccessLogNodeInfo(name=name, clusterName="c")
    made.netInterfaces.add(index=2, name="eth0")
    made.bootTime.seconds, made.bootTime.nanos = 1_700_000_000, 5
    return made.SerializeToString()


def test_a_node_and_a_connection_are_what_their_bytes_say() -> None:
    interner = Interner()
    known = interner.node(node())
    assert (known.node.name, known.node.cluster, known.node.boot_time_ns) == ("n", "c", 1_700_000_000 * 10**9 + 5)
    assert known.node.interfaces == {2: "eth0"}
    found = interner.connections(known, [connection()])[0]
    assert found is not None
    assert found.node is known.node
    assert (found.local.service, found.local.instance, found.local.process) == ("shop.default", "shop-1", "java")
    assert (found.local.host, found.local.port, found.remote.host, found.remote.port) == ("", 8080, "10.0.0.2", 3306)
    assert found.remote.service == ""


def test_a_node_says_which_namespaces_it_leaves_out_and_which_addresses_it_has() -> None:
    made = EBPFAccessLogNodeInfo(addresses=["192.0.2.7", "2001:db8::7"])
    made.policy.excludeNamespaces.extend(["", "kube-system"])
    known = Interner().node(made.SerializeToString())
    assert known.node.excluded_namespaces == {"kube-system"}
    assert known.node.addresses == ("192.0.2.7", "2001:db8::7")


@pytest.mark.parametrize(
    ("by", "policy", "real", "host", "is_mutual"),
    [
        (DetectBy.ZTUNNEL_OUTBOUND_FUNC, Policy.MTLS, "10.0.0.9", "10.0.0.9", True),
        (DetectBy.ZTUNNEL_OUTBOUND_FUNC, Policy.NONE, "10.0.0.9", "10.0.0.9", False),
        (DetectBy.ZTUNNEL_OUTBOUND_FUNC, Policy.MTLS, "", "10.0.0.2", True),
        (DetectBy.ZTUNNEL_INBOUND_FUNC, Policy.MTLS, "10.0.0.9", "10.0.0.2", True),
    ],
)
def test_behind_a_mesh_is_the_address_that_it_chose(
    by: DetectBy, policy: Policy, real: str, host: str, *, is_mutual: bool
) -> None:
    made = AccessLogConnection.FromString(connection())
    made.attachment.zTunnel.real_destination_ip = real
    made.attachment.zTunnel.by = by
    made.attachment.zTunnel.security_policy = policy
    found = Interner().connections(NO_NODE, [made.SerializeToString()])[0]
    assert found is not None
    assert (found.remote.host, found.remote.port) == (host, 3306)
    assert found.ztunnel == Ztunnel(is_mutual)
    # A process is known by name, whatever carried the call.
    made.remote.kubernetes.serviceName = "db"
    found = Interner().connections(NO_NODE, [made.SerializeToString()])[0]
    assert found is not None
    assert (found.remote.host, found.remote.service) == ("", "db")


def test_without_a_mesh_there_is_no_attachment() -> None:
    found = Interner().connections(NO_NODE, [connection()])[0]
    assert found is not None
    assert found.ztunnel is None
    made = AccessLogConnection.FromString(connection())
    made.attachment.SetInParent()
    found = Interner().connections(NO_NODE, [made.SerializeToString()])[0]
    assert found is not None
    assert (found.ztunnel, found.remote.host) == (None, "10.0.0.2")


def test_the_same_bytes_of_the_same_node_are_the_same_object() -> None:
    interner = Interner()
    one, other = interner.node(node("one")), interner.node(node("other"))
    assert interner.node(node("one")) is one
    assert interner.connections(one, [connection()])[0] is interner.connections(one, [connection()])[0]
    assert interner.connections(one, [connection()])[0] is not interner.connections(other, [connection()])[0]
    assert interner.connections(NO_NODE, [connection()])[0] is not interner.connections(one, [connection()])[0]


def test_a_connection_without_an_address_is_none_each_time() -> None:
    interner = Interner()
    assert interner.connections(NO_NODE, [b""])[0] is None
    assert interner.connections(NO_NODE, [b""])[0] is None


def test_a_cache_keeps_at_most_its_capacity_and_what_was_used_lately() -> None:
    cache: RecentCache[int, str] = RecentCache(10)
    for number in range(1_000):
        cache.put(number, str(number))
        assert cache.get(7 if number >= 7 else 0) is not None
        assert len(cache) <= 10
    assert cache.get(999) == "999"
    assert cache.get(500) is None


def test_texts_are_the_same_object_and_bounded() -> None:
    interner = Interner(texts=10)
    first = interner.texts([b"/a", "/ä".encode(), b"/a", b""])
    assert first == ["/a", "/ä", "/a", ""]
    assert first[0] is first[2] is interner.texts([b"/a"])[0]
    # The cut that came between the two bytes of a character.
    assert interner.texts(["/ä".encode()[:2]]) == ["/"]
    for number in range(100):
        interner.texts([str(number).encode()])
    assert len(interner._texts) <= 10


def test_the_interner_is_bounded_in_entries_and_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interning, "LARGEST_CONNECTION", 100)
    interner = Interner(nodes=4, connections=10)
    for number in range(100):
        known = interner.node(node(str(number)))
        interner.connections(known, [connection(str(number))])[0]
    assert len(interner._nodes) <= 4
    assert len(interner._connections) <= 10
    before = len(interner._connections)
    large = connection("x" * 200)
    assert interner.connections(NO_NODE, [large])[0] is not interner.connections(NO_NODE, [large])[0]
    assert len(interner._connections) == before
