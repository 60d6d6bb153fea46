import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from backend.entities import ids
from backend.entities.names import NameLimits
from backend.server.presence import Presence, Present
from backend.storage.interface import Flush, Instance, Service, StorageError
from backend.storage.memory import MemoryStorage

SHOP = Present("shop.default", "K8S_SERVICE", "shop-1")
SERVICE = ids.service_id("shop.default")


class Clock:
    def __init__(self, minute: int = 10) -> None:
        self.minute = minute

    def __call__(self) -> float:
        return self.minute * 60.0 + 59.0


class Store(MemoryStorage):
    """Counts what is written, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self.flushes: list[Flush] = []
        self.written = threading.Event()

    def write(self, flush: Flush) -> None:
        if self.fails:
            raise StorageError("the disk is full")
        self.flushes.append(flush)
        super().write(flush)
        self.written.set()


async def test_what_is_said_again_is_written_once_a_minute() -> None:
    store, clock = Store(), Clock()
    presence = Presence(store, clock=clock)
    for minute in (10, 10, 11):
        clock.minute = minute
        presence.see([SHOP, SHOP])
        assert await presence.write()
    assert len(store.flushes) == 2
    assert len({flush.writer for flush in store.flushes}) == 2
    assert store.services() == [Service(SERVICE, "shop.default", "K8S_SERVICE", 10, 11)]
    assert store.instances(SERVICE, 0, 20) == [Instance(ids.instance_id(SERVICE, "shop-1"), SERVICE, "shop-1", 10, 11)]
    assert presence.reported == 6


async def test_streams_that_are_switched_off_are_not_written() -> None:
    store, clock, disabled = Store(), Clock(), {"service_traffic"}
    presence = Presence(store, disabled=lambda: disabled, clock=clock)
    presence.see([SHOP])
    assert await presence.write()
    assert store.services() == []
    assert [instance.name for instance in store.instances(SERVICE, 0, 20)] == ["shop-1"]
    disabled.clear()
    clock.minute += 1
    presence.see([SHOP])
    assert await presence.write()
    assert store.services() == [Service(SERVICE, "shop.default", "K8S_SERVICE", 11, 11)]


async def test_what_could_not_be_written_is_written_later() -> None:
    store, clock = Store(), Clock()
    presence = Presence(store, clock=clock)
    store.fails = True
    presence.see([SHOP])
    assert not await presence.write()
    clock.minute = 12
    store.fails = False
    assert await presence.write()
    assert [service.last_minute for service in store.services()] == [10]


async def test_what_is_left_at_the_end_is_written_or_counted() -> None:
    store = Store()
    presence = Presence(store, clock=Clock())
    await presence.start()
    presence.see([SHOP])
    await presence.stop()
    assert len(store.services()) == 1
    store.fails = True
    presence.see([SHOP._replace(service="cart.default")])
    await presence.stop()
    assert presence.lost == {"storage": 2}  # the service and its instance


async def test_it_writes_by_itself() -> None:
    store = Store()
    presence = Presence(store, interval=0.01, clock=Clock())
    await presence.start()
    presence.see([SHOP])
    assert await asyncio.to_thread(store.written.wait, 120)
    await presence.stop()
    assert len(store.flushes) == 1


async def test_a_service_without_an_instance_and_names_of_any_length() -> None:
    store = Store()
    presence = Presence(store, NameLimits(service=4, instance=2), clock=Clock())
    presence.see([Present("shop.default", "MESH", ""), Present("cart.default", "MESH", "cart-1")])
    await presence.write()
    assert [service.name for service in store.services()] == ["cart", "shop"]
    assert store.instances(ids.service_id("shop"), 0, 20) == []
    assert [instance.name for instance in store.instances(ids.service_id("cart"), 0, 20)] == ["ca"]


async def test_namespaces_that_are_not_wanted_are_left_out_and_counted() -> None:
    presence = Presence(Store(), excluded_namespaces={"kube-system"})
    presence.see([Present("dns.kube-system", "K8S_SERVICE", "dns-1"), SHOP])
    assert presence.lost == {"excluded": 1}
    assert len(presence) == 2


async def test_room_is_made_by_who_was_heard_of_longest_ago() -> None:
    store, clock = Store(), Clock()
    presence = Presence(store, maximum=4, clock=clock)
    presence.see([Present(name, "MESH", name) for name in "ab"])
    presence.see([Present("c", "MESH", "c")])
    assert presence.lost == {"full": 2}  # the service and its instance
    clock.minute += 1
    presence.see([Present("c", "MESH", "c")])
    assert presence.lost == {"full": 4}  # the store does not know those before yet
    await presence.write()
    presence.see([Present("c", "MESH", "c")])
    await presence.write()
    assert [service.name for service in store.services()] == ["a", "b", "c"]
    assert len(presence) == 4


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("see"), st.sampled_from("abc"), st.sampled_from(["MESH", "K8S"]), st.sampled_from("xy")),
            st.sampled_from(["write", "fail", "minute"]),
        ),
        max_size=30,
    )
)
def test_whatever_happens_the_store_has_the_last_minute_of_each(steps: list[tuple[str, str, str, str] | str]) -> None:
    store, clock = Store(), Clock()
    latest: dict[str, int] = {}

    async def run() -> None:
        presence = Presence(store, clock=clock)
        for step in steps:
            match step:
                case "write":
                    await presence.write()
                case "fail":
                    store.fails = True
                    await presence.write()
                    store.fails = False
                case "minute":
                    clock.minute += 1
                case (_, service, layer, instance):
                    presence.see([Present(service, layer, instance)])
                    latest[service] = latest[f"{service} {instance}"] = clock.minute
        await presence.stop()
        assert not presence.lost

    asyncio.run(run())
    found = {service.name: service.last_minute for service in store.services()}
    for service in "abc":
        for instance in store.instances(ids.service_id(service), 0, 1_000):
            found[f"{service} {instance.name}"] = instance.last_minute
    assert found == latest


@pytest.mark.parametrize("cause", ["full", "excluded", "storage"])
def test_its_counters_are_told(cause: str) -> None:
    presence = Presence(Store())
    presence.see([SHOP])
    presence.lost[cause] = 3
    registry = CollectorRegistry()
    registry.register(presence)
    text = generate_latest(registry).decode()
    assert f'pyrover_backend_processes_lost_total{{cause="{cause}"}} 3.0' in text
    assert "pyrover_backend_processes_reported_total 1.0" in text
    assert "pyrover_backend_entities_present 2.0" in text
