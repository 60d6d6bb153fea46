"""Questions while the index changes."""

import threading

from backend.entities.addresses.timeline import Missing
from tests.backend.entities.addresses.world import World
from tests.common.kubernetes.manifests import pod, service

APP = {"app": "shop"}
CHANGES = 2_000


def test_who_asks_while_an_address_passes_on_hears_of_the_one_or_the_other() -> None:
    world = World()
    world.put("services", service("shop", selector=APP))
    names = ["even", "odd"]
    pods = [pod(name, "10.0.0.1", labels=APP) for name in names]
    world.put("pods", pods[0])
    heard: set[str | None] = set()
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            heard.add(world.find("10.0.0.1", 80))

    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(CHANGES):
        world.put("pods", pods[(number + 1) % 2])
        world.remove("pods", pods[number % 2])
    done.set()
    asking.join()
    assert heard <= {"shop.default/even", "shop.default/odd"}
    assert world.find("10.0.0.1", 80) == "shop.default/even"
    assert not world.book.misses


def test_a_version_that_was_read_before_an_answer_is_never_newer_than_it() -> None:
    world = World()
    done = threading.Event()
    stale: list[tuple[int, int]] = []

    def ask() -> None:
        while not done.is_set():
            version = world.index.version
            found = world.index.timeline.find((bytes([10, 96, 0, 1]), 0), world.now)
            number = 0 if isinstance(found, Missing) else int(found.service.partition(".")[0][1:])
            if number < version - first:
                stale.append((version - first, number))

    first = world.index.version
    asking = threading.Thread(target=ask)
    asking.start()
    for number in range(1, CHANGES):
        world.replace("services", service(f"s{number}", "10.96.0.1"))
    done.set()
    asking.join()
    assert stale == []
    assert world.index.version - first == CHANGES - 1
