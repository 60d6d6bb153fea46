"""Services, instances, endpoints and relations in ClickHouse.

What a process knows of an entity is one row, written again when it has changed, so that a flush that tells nothing new
writes nothing. Rows of several processes are merged when they are read; in any order, or twice, that gives the same.
"""

# ruff: noqa: S608 - names of tables are those of clickhouse_tables; values are parameters

from collections.abc import Callable, Mapping, Sequence

from backend.storage.clickhouse_server import Asked
from backend.storage.interface import Endpoint, Flush, Instance, Relation, Service
from backend.storage.merging import Seen, latest_relations

Row = tuple[object, ...]
Insert = Callable[[str, str, Sequence[tuple[str, Row]]], None]
"""Inserts rows into columns of a table; beside each row, the text that decides on its shard."""

_ENTITY_COLUMNS = {
    "services": "id, name, first_minute, last_minute, layers, normal",
    "instances": "id, name, first_minute, last_minute, service_id, properties_minute, properties",
    "endpoints": "id, name, first_minute, last_minute, service_id",
}
_RELATION_COLUMNS = "kind, id, source_id, destination_id, side, component, minute"
_MERGED_COLUMNS = {
    "services": "id, any(name), min(first_minute), max(last_minute), groupUniqArray(layers), max(normal)",
    "instances": (
        "id, any(name), min(first_minute), max(last_minute), any(service_id),"
        " max(properties_minute), argMax(properties, (properties_minute, properties))"
    ),
    "endpoints": "id, any(name), min(first_minute), max(last_minute), any(service_id)",
}
_ASKED_AT_ONCE = 1000
_REMEMBERED = 10
"""Minutes after which a relation that was written is forgotten; written again, it changes nothing."""


class EntityRows:
    """What this process has written of entities and relations. Use from one thread at a time."""

    def __init__(self, asked: Asked, process: str) -> None:
        """Start with nothing.

        Args:
            asked: whom to ask for what earlier processes wrote.
            process: a name that no other process has.
        """
        self._asked = asked
        self._process = process
        self._seen: Mapping[str, dict[str, Seen]] = {name: {} for name in _ENTITY_COLUMNS}
        self._relations: set[Row] = set()

    def write(self, flush: Flush, version: int, insert: Insert) -> None:
        """Write what a flush has that was not written yet. Raises StorageError."""
        for table, entities in (
            ("services", flush.services),
            ("instances", flush.instances),
            ("endpoints", flush.endpoints),
        ):
            self._write_entities(table, entities, version, insert)
        new = {
            (kind, one.id, one.source_id, one.destination_id, one.side, one.component, one.minute)
            for kind, relations in enumerate(
                (flush.service_relations, flush.instance_relations, flush.endpoint_relations)
            )
            for one in relations
        } - self._relations
        if new:
            insert("relations", _RELATION_COLUMNS, [(str(row[1]), row) for row in new])
            self._relations |= new

    def close(self, minute: int) -> None:
        """Forget what was not seen for a while before this minute."""
        oldest = minute - _REMEMBERED
        self._relations = {row for row in self._relations if int(str(row[-1])) >= oldest}
        for known in self._seen.values():
            for entity in [seen.id for seen in known.values() if seen.last_minute < oldest]:
                del known[entity]

    def _write_entities(
        self,
        table: str,
        entities: Sequence[Service] | Sequence[Instance] | Sequence[Endpoint],
        version: int,
        insert: Insert,
    ) -> None:
        found: dict[str, Seen] = {}
        for seen in map(Seen.of, entities):
            found[seen.id] = seen.merge(found.get(seen.id, seen))
        known = self._seen[table]
        new = [entity for entity in found if entity not in known]
        # What earlier processes wrote is taken over: their rows are dropped while the entity may live on.
        for first in range(0, len(new), _ASKED_AT_ONCE):
            ids = tuple(new[first : first + _ASKED_AT_ONCE])
            before = read_entities(self._asked, table, "id IN %(ids)s", {"ids": ids})
            found |= {seen.id: seen.merge(found[seen.id]) for seen in before}
        changed = {}
        for seen in found.values():
            merged = seen.merge(known.get(seen.id, seen))
            if merged != known.get(seen.id):
                changed[seen.id] = merged
        if changed:
            insert(
                table,
                f"{_ENTITY_COLUMNS[table]}, writer, version",
                [(seen.id, (*_row(table, seen), self._process, version)) for seen in changed.values()],
            )
            known.update(changed)


def read_entities(
    asked: Asked, table: str, condition: str, parameters: Mapping[str, object], having: str = "1"
) -> list[Seen]:
    """Entities whose rows meet a condition, and which meet `having` when merged; by name. Raises StorageError."""
    rows = asked.server.ask(
        f"SELECT {_MERGED_COLUMNS[table]} FROM {asked.prefix}{table} WHERE {condition} GROUP BY id HAVING {having}",
        parameters,
    )
    return sorted((_seen(table, row) for row in rows), key=lambda seen: (seen.name, seen.id))


def read_relations(asked: Asked, kind: int, condition: str, parameters: Mapping[str, object]) -> list[Relation]:
    """Relations whose rows meet a condition, each with its latest minute. Raises StorageError."""
    rows = asked.server.ask(
        "SELECT id, any(source_id), any(destination_id), side, component, max(minute)"
        f" FROM {asked.prefix}relations WHERE kind = %(kind)s AND minute BETWEEN %(first)s AND %(last)s AND {condition}"
        " GROUP BY id, side, component",
        {"kind": kind, **parameters},
    )
    return latest_relations([Relation(*row) for row in rows])  # type: ignore[arg-type] # as the table has them


def _row(table: str, seen: Seen) -> Row:
    common = (seen.id, seen.name, seen.first_minute, seen.last_minute)
    if table == "services":
        return (*common, "\n".join(sorted(seen.layers)), int(seen.normal))
    return (*common, seen.service_id, *seen.told) if table == "instances" else (*common, seen.service_id)


def _seen(table: str, row: Sequence[object]) -> Seen:
    identity, name, first, last, *rest = row
    common = (str(identity), str(name), int(str(first)), int(str(last)))
    if table == "services":
        texts, normal = rest
        layers = {layer for text in texts for layer in str(text).split("\n")}  # type: ignore[attr-defined] # an array
        return Seen(*common, layers=frozenset(layers), normal=bool(normal))
    if table == "instances":
        service, minute, properties = rest
        return Seen(*common, str(service), told=(int(str(minute)), str(properties)))
    return Seen(*common, str(rest[0]))
