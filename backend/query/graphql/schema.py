"""The executable schema: what is written in schema/, and what answers each operation of it."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ariadne import MutationType, ObjectType, QueryType, ScalarType, load_schema_from_path, make_executable_schema
from ariadne.utils import convert_camel_case_to_snake
from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema

from backend.query.graphql import (
    about,
    absent,
    alarm_queries,
    hierarchy,
    metadata,
    metrics,
    topology_queries,
    ui,
)
from backend.query.graphql.inputs import INPUTS
from backend.query.graphql.questions import Answer
from backend.query.panics import contained

FOLDER = Path(__file__).parent / "schema"

QUERIES: Mapping[str, Answer] = {
    name: answer
    for queries in (
        about.QUERIES,
        metadata.QUERIES,
        topology_queries.QUERIES,
        metrics.QUERIES,
        hierarchy.QUERIES,
        ui.QUERIES,
        alarm_queries.QUERIES,
        absent.QUERIES,
    )
    for name, answer in queries.items()
}
"""By operation."""
MUTATIONS: Mapping[str, Answer] = {**about.MUTATIONS, **ui.MUTATIONS, **absent.MUTATIONS}
"""By operation."""

UNUSED = ("debug", "dump_db_rsp")
"""Arguments of many operations that ask how an answer came about, which is never told."""
AS_WRITTEN = frozenset({"KeyValue", "Metadata", "MQEMetric", "MQEValue", "MQEValues", "Owner"})
"""Types whose objects have fields of just the schema's names (backend/query/mqe/answer.py)."""
NAMES = {"i18nKey": "translation_key"}
"""Fields that are called otherwise than the schema calls them."""
LARGEST_LONG = (1 << 63) - 1


@cache
def executable_schema() -> GraphQLSchema:
    """The schema, for whichever sources a request's Context has.

    It is made once, which takes about as long as a hundred requests.
    """
    query, mutation = QueryType(), MutationType()
    for operations, answers in ((query, QUERIES), (mutation, MUTATIONS)):
        for name, answer in answers.items():
            _bind(operations, name, answer)
    long = ScalarType("Long", serializer=_long, value_parser=_long)
    return make_executable_schema(
        load_schema_from_path(FOLDER), query, mutation, long, *INPUTS, convert_names_case=_python_name
    )


def _bind(operations: ObjectType, name: str, answer: Answer) -> None:
    def resolve(_root: object, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:  # noqa: ANN401 - what the schema says
        for unused in UNUSED:
            arguments.pop(unused, None)
        info.context.check_time()
        return contained(answer, info.context, **arguments)

    operations.set_field(name, resolve)


def _python_name(name: str, _schema: GraphQLSchema, path: tuple[str, ...]) -> str:
    return name if path[0] in AS_WRITTEN else NAMES.get(name) or convert_camel_case_to_snake(name)


def _long(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -LARGEST_LONG - 1 <= value <= LARGEST_LONG:
        raise GraphQLError(f"{value!r} is not a whole number of 64 bits")
    return value
