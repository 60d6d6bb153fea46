from concurrent.futures import ThreadPoolExecutor

import pytest

from backend.query.graphql.service_book import LIFETIME, ServiceBook
from backend.storage.interface import Flush, Service, StorageError
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql.asking import asking
from tests.backend.query.world import frame
from tests.clock import Clock


class Counting(MemoryStorage):
    """Counts how often it is read, and can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.fails = False

    def services(self) -> list[Service]:
        self.read += 1
        if self.fails:
            raise StorageError("gone")
        return super().services()


def write(storage: MemoryStorage, *services: Service) -> None:
    storage.write(Flush("one", frame([]), services=services))


def service(name: str, minute: int = 1, *more: str) -> Service:
    return Service(f"id-{name}", name, "K8S_SERVICE", 1, minute, more_layers=more)


def test_what_was_read_is_used_for_a_while() -> None:
    storage, clock = Counting(), Clock(1_000.0)
    book = ServiceBook(storage, timer=clock)
    write(storage, service("a"))
    assert [found.name for found in book.all()] == ["a"]
    write(storage, service("b", 1, "MESH"))
    clock.now += LIFETIME - 0.001
    assert [found.name for found in book.all()] == ["a"]
    assert book.get("id-b") is None
    assert storage.read == 1
    clock.now += 0.001
    assert [found.name for found in book.all()] == ["a", "b"]
    assert book.get("id-b") == service("b", 1, "MESH")
    assert [found.name for found in book.of_layer("MESH")] == ["b"]
    assert [found.name for found in book.of_layer("K8S_SERVICE")] == ["a", "b"]
    assert storage.read == 2


def test_a_failure_is_not_kept() -> None:
    storage = Counting()
    book = ServiceBook(storage, timer=Clock(1_000.0))
    storage.fails = True
    for _ in range(2):
        with pytest.raises(StorageError):
            book.all()
    storage.fails = False
    write(storage, service("a"))
    assert len(book.all()) == 1


def test_those_seen_last_are_kept_and_the_others_counted() -> None:
    storage, clock = Counting(), Clock(1_000.0)
    book = ServiceBook(storage, maximum=2, timer=clock)
    write(storage, service("a", 5), service("b", 1))
    assert [found.name for found in book.all()] == ["a", "b"]
    assert book.left_out == 0
    write(storage, service("c", 9))
    clock.now += LIFETIME
    assert [found.name for found in book.all()] == ["a", "c"]
    assert book.get("id-b") is None
    assert book.left_out == 1


def test_threads_that_ask_together_read_once() -> None:
    storage = Counting()
    book = ServiceBook(storage, timer=Clock(1_000.0))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: book.all(), range(50)))
    assert storage.read == 1


async def test_what_is_left_out_is_counted() -> None:
    storage = Counting()
    async with asking(storage) as client:
        assert client.counted("services_left_out") == 0
        client.served._sources.services._maximum = 1
        write(storage, service("a"), service("b"), service("c"))
        assert len((await client.answer("{ listServices { id } }"))["listServices"]) == 1
        assert client.counted("services_left_out") == 2
