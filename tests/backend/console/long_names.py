"""A store and books in which every name is long, and alarms that were kept in a file as the backend keeps them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.agents.book import AgentBook
from backend.alarms.record_file import FileRecords
from backend.alarms.records import Changes, Notice
from backend.entities.ids import endpoint_id, instance_id, service_id, service_relation_id
from backend.ingest.batch import Node
from backend.query.graphql.alarms import Alarm
from backend.storage.interface import Endpoint, Flush, Instance, Relation, Service
from backend.storage.memory import MemoryStorage
from tests.backend.agents.reports import serialised
from tests.backend.query import world

WORD = "averylongnamethatsomebodygaveitandthatgoesonandonwithoutanyplaceatwhichitcouldbebroken"
NAME = f"{WORD}.{WORD}"
SERVICE = service_id(NAME)
INSTANCE, ENDPOINT = f"{WORD}-7d9f8b6c5d-x2x4z", f"GET:/{WORD}/{WORD}"


def storage_of_long_names() -> MemoryStorage:
    """The little world, and a service with long names that calls one of it and itself."""
    storage, minute = MemoryStorage(), world.NOW_MINUTE
    world.fill(storage)
    entities = {
        "kubernetes_service_": SERVICE,
        "kubernetes_service_instance_": instance_id(SERVICE, INSTANCE),
    }
    metrics = ("read_cpm", "write_cpm", "read_package_size", "write_package_size")
    rows = [(f"{of}{name}", entity, minute, 60, 0) for of, entity in entities.items() for name in metrics]
    endpoint = endpoint_id(SERVICE, ENDPOINT)
    rows += [("kubernetes_service_endpoint_call_cpm", endpoint, minute, 60, 0)]
    storage.write(
        Flush(
            "long",
            world.frame(rows),
            services=[Service(SERVICE, NAME, world.LAYER, minute, minute)],
            instances=[Instance(instance_id(SERVICE, INSTANCE), SERVICE, INSTANCE, minute, minute)],
            endpoints=[Endpoint(endpoint, SERVICE, ENDPOINT, minute, minute)],
            service_relations=[
                Relation(service_relation_id(SERVICE, target), SERVICE, target, "client", 49, minute)
                for target in (world.API, SERVICE)
            ],
        )
    )
    return storage


def agents_of_long_names() -> AgentBook:
    """An agent that misses a hook and lost something, on a node with a long name."""
    book = AgentBook(clock=lambda: world.NOW)
    book.hear(Node(f"{WORD}.example.internal", WORD, 0, {}), serialised(int(world.NOW), 25))
    return book


def alarm(scope: str, entity: str, name: str, *, ago: int, lasted: int | None = None, message: str = "") -> Alarm:
    """An alarm that began so many minutes ago, and lasted so many unless it lasts."""
    began = int(world.NOW - ago * 60) * 1_000
    recovery = None if lasted is None else began + lasted * 60_000
    tags = {"level": "WARNING"}
    return Alarm(
        entity, "", scope, name, "a_rule", world.LAYER, message or f"{name} is slow", began, recovery, tags=tags
    )


@contextmanager
def kept(folder: Path, *alarms: Alarm) -> Iterator[FileRecords]:
    """These alarms, in a file."""
    records = FileRecords(folder / "alarms.sqlite")
    notices = [Notice(f"{place:04}", each) for place, each in enumerate(alarms)]
    records.save(Changes(1, begun=notices))
    try:
        yield records
    finally:
        records.close()
