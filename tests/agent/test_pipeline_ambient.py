"""What is told of calls between pods of an ambient mesh, whose ztunnel takes them within the pods: docs/discovery.md.

As istio-cni and ztunnel do it (https://istio.io/latest/docs/ambient/architecture/traffic-redirection/): what a pod
sends is turned to 15001 of its own network namespace, where ztunnel has a socket; a tunnel leads to 15008 of the other
pod; and there ztunnel connects to the application under the caller's address.
"""

from typing import Any

import pytest

from agent.config import AccessLog, Configuration, Flush
from agent.config_durations import Duration
from agent.conntrack.translation import Translation
from agent.discovery.host import SocketScan
from agent.discovery.kubernetes.names import Wanted
from agent.events.layout import EventFlag, EventKind, Events
from agent.export.accounting import Ledger
from agent.export.assembler import Batch
from agent.pipeline import Pipeline
from protos.ebpf import accesslog_pb2 as wire
from tests.agent.conntrack.test_table import translation
from tests.agent.discovery.kubernetes.pods import FIRST, OTHER, SECOND_ID, book, group, names, pod, service, uid
from tests.agent.synthetic import SECOND, FakeHost, address, event, events, facts

K = EventKind
CART, SHOP, ZTUNNEL = 1, 2, 3
CART_ADDRESS, SHOP_ADDRESS, SERVICE = "10.1.0.5", "10.1.0.6", ("10.96.0.9", 80)
IN_CART, IN_SHOP = 11, 12
"""Network namespaces."""
PODS = [
    pod("cart-1", {"main": FIRST}, labels={"app": "cart"}, pod_uid=uid(1)),
    pod("shop-1", {"web": SECOND_ID}, labels={"app": "shop"}, pod_uid=uid(2)),
    pod("ztunnel-1", {"istio-proxy": OTHER}, labels={"app": "ztunnel"}, pod_uid=uid(3), namespace="istio-system"),
]
SERVICES = [service("cart", {"app": "cart"}), service("shop", {"app": "shop"})]
CART_END, SHOP_END = "cart.shop cart-1 client", "shop.shop shop-1 server"


def calling(pid: int, local: tuple[str, int], remote: tuple[str, int], inode: int, namespace: int) -> list[Events]:
    ends: dict[str, Any] = {"process": pid, "inode": inode, "local": local, "remote": remote, "namespace": namespace}
    return [
        event(K.CONNECT, **ends),
        event(K.WRITE, size=5, **ends),
        event(K.CLOSE, flags=EventFlag.LAST_REFERENCE, **ends),
    ]


def called(pid: int, local: tuple[str, int], remote: tuple[str, int], inode: int, namespace: int) -> list[Events]:
    ends: dict[str, Any] = {"process": pid, "inode": inode, "local": local, "remote": remote, "namespace": namespace}
    return [
        event(K.ACCEPT, **ends),
        event(K.READ, size=5, **ends),
        event(K.CLOSE, flags=EventFlag.LAST_REFERENCE, **ends),
    ]


def redirection() -> Translation:
    """What connection tracking of the calling pod tells."""
    return translation(
        namespace=IN_CART,
        of_host=False,
        source=(CART_ADDRESS, 40000),
        destination=SERVICE,
        new_source=(CART_ADDRESS, 40000),
        new_destination=("127.0.0.1", 15001),
        seen_ns=SECOND,
    )


def told(wanted: Wanted | None = None, *, scanned: bool = True) -> list[tuple[str, str]]:
    """Both ends of every connection, of one call from the cart to the shop."""
    host, batches = FakeHost(), list[Batch]()
    host.processes = {
        CART: facts(CART, "/bin/client", cgroups=[group(FIRST, uid(1))]),
        SHOP: facts(SHOP, "/bin/server", cgroups=[group(SECOND_ID, uid(2))]),
        ZTUNNEL: facts(ZTUNNEL, "/usr/local/bin/ztunnel", cgroups=[group(OTHER, uid(3))]),
    }
    if scanned:
        host.scan = SocketScan((), {1: (), IN_CART: (address(CART_ADDRESS),), IN_SHOP: (address(SHOP_ADDRESS),)})
    pipeline = Pipeline(
        Configuration(access_log=AccessLog(flush=Flush(period=Duration(1)))),
        "node-1",
        999,
        host=host,
        ledger=Ledger(),
        deliver=batches.append,
        pods=names(book(PODS, SERVICES), wanted),
    )
    pipeline.start(SECOND)
    host.learned = [redirection()]
    caller, tunnel, handed_in = (CART_ADDRESS, 40000), (CART_ADDRESS, 40001), (CART_ADDRESS, 45000)
    pipeline.step(
        events(
            *calling(CART, caller, SERVICE, 1, IN_CART),
            *called(ZTUNNEL, ("127.0.0.1", 15001), caller, 2, IN_CART),
            *calling(ZTUNNEL, tunnel, (SHOP_ADDRESS, 15008), 3, IN_CART),
            *called(ZTUNNEL, (SHOP_ADDRESS, 15008), tunnel, 4, IN_SHOP),
            *calling(ZTUNNEL, handed_in, (SHOP_ADDRESS, 8080), 5, IN_SHOP),
            *called(SHOP, (SHOP_ADDRESS, 8080), handed_in, 6, IN_SHOP),
        ),
        SECOND,
    )
    pipeline.step(events(), 3 * SECOND)
    messages = [wire.EBPFAccessLogMessage.FromString(each) for batch in batches for each in batch.messages]
    connections = [message.connection for message in messages if message.HasField("connection")]
    assert not [each for each in connections if each.HasField("attachment")]
    return [(_end(each.local), _end(each.remote)) for each in connections]


def _end(of: wire.ConnectionAddress) -> str:
    named = of.kubernetes
    if of.WhichOneof("address") == "ip":
        return f"{of.ip.host}:{of.ip.port}"
    return f"{named.serviceName} {named.podName} {named.processName}"


PROXY = "ztunnel.istio-system ztunnel-1 ztunnel"
ENDS = [(CART_END, "10.96.0.9:80"), (SHOP_END, "10.1.0.5:45000")]
"""The caller's log says which service it called, and the other's says who called, by the address of its pod."""


@pytest.mark.parametrize("scanned", [True, False])
def test_the_ends_of_a_call_are_told_without_the_proxy_between(*, scanned: bool) -> None:
    assert told(scanned=scanned) == [
        ENDS[0],
        (PROXY, "10.1.0.5:40000"),
        (PROXY, PROXY),
        (PROXY, PROXY),
        (PROXY, SHOP_END),
        ENDS[1],
    ]


def test_the_proxy_is_not_told_of_where_its_namespace_is_left_out() -> None:
    assert told(Wanted(excluded_namespaces=frozenset(("istio-system",)))) == ENDS
