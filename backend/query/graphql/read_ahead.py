"""Reads of one request put together: clients ask the same few expressions for many entities at once.

A map of a hundred services asks for three numbers of each. Each expression would ask the store for one entity; here the
first one asks for those of all expressions of the request, and the others find theirs.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import polars as pl
from graphql import FieldNode, GraphQLObjectType, OperationDefinitionNode
from graphql.execution.values import VariableValues, get_argument_values

from backend.query.graphql.scopes import CATALOGS
from backend.query.mqe.entities import entity_id
from backend.query.mqe.reader import Entity, ReadingError
from backend.storage.interface import Endpoint, Instance, Precision, Service, Storage

EXPRESSION = "execExpression"
MAXIMUM_AHEAD = 50_000
"""Most entities times buckets that are read together: more would be much to hold."""
MAXIMUM_KEPT = 16
"""Most reads that are kept for the rest of a request."""

_Read = Callable[[Sequence[str], Sequence[str], int, int, Precision], pl.DataFrame]
_Key = tuple[str, tuple[str, ...], int, int, Precision]


class ReadAhead:
    """A store, for the expressions of one request. For one thread.

    Args:
        storage: What is asked.
        entities: Ids that expressions of the request are about.
    """

    def __init__(self, storage: Storage, entities: frozenset[str]) -> None:
        self._storage = storage
        self._entities = entities
        self._kept: dict[_Key, pl.DataFrame] = {}

    def metrics(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        """As Storage.metrics."""
        return self._of("metrics", self._storage.metrics, names, entities, (first_minute, last_minute, precision))

    def measures(
        self,
        names: Sequence[str],
        entities: Sequence[str],
        first_minute: int,
        last_minute: int,
        precision: Precision = Precision.MINUTE,
    ) -> pl.DataFrame:
        """As Storage.measures."""
        return self._of("measures", self._storage.measures, names, entities, (first_minute, last_minute, precision))

    def services(self) -> list[Service]:
        """As Storage.services."""
        return self._storage.services()

    def instances(self, service_id: str, first_minute: int, last_minute: int) -> list[Instance]:
        """As Storage.instances."""
        return self._storage.instances(service_id, first_minute, last_minute)

    def endpoints(self, service_id: str | None, first_minute: int, last_minute: int) -> list[Endpoint]:
        """As Storage.endpoints."""
        return self._storage.endpoints(service_id, first_minute, last_minute)

    def _of(
        self, table: str, read: _Read, names: Sequence[str], entities: Sequence[str], span: tuple[int, int, Precision]
    ) -> pl.DataFrame:
        first, last, precision = span
        buckets = (last - first) // precision + 1
        if not entities or not self._entities.issuperset(entities) or len(self._entities) * buckets > MAXIMUM_AHEAD:
            return read(names, entities, *span)
        key = (table, tuple(names), *span)
        if key not in self._kept:
            if len(self._kept) >= MAXIMUM_KEPT:
                return read(names, entities, *span)
            self._kept[key] = read(names, sorted(self._entities), *span)
        return self._kept[key].filter(pl.col("entity").is_in(list(entities)))


def read_ahead(
    storage: Storage, operation: OperationDefinitionNode, query: GraphQLObjectType, variables: VariableValues
) -> Storage:
    """The store for an operation's expressions; the store itself when they are all about one entity.

    Args:
        storage: what is asked.
        operation: what is executed; it is valid.
        query: the type of its top.
        variables: values of its variables.
    """
    asked = {
        get_argument_values(query.fields[EXPRESSION], node, variables)["entity"]
        for node in operation.selection_set.selections
        if isinstance(node, FieldNode) and node.name.value == EXPRESSION
    }
    if len(asked) < 2:  # noqa: PLR2004 - one has nobody to share with
        return storage
    together = ReadAhead(storage, frozenset(identity for entity in asked for identity in _ids(entity)))
    return cast("Storage", together)  # as much of it as expressions need: they write nothing


def _ids(entity: Entity) -> Iterator[str]:
    """The id that an entity has in each scope that it has the names for."""
    for scope in CATALOGS:
        with contextlib.suppress(ReadingError):
            yield entity_id(scope, entity)
