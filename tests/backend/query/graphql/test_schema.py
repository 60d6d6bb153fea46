"""The schema fits what answers it."""

import inspect

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLObjectType,
    GraphQLSchema,
    build_client_schema,
    get_introspection_query,
    get_named_type,
    parse,
    validate,
)

from backend.query.graphql import about, absent, alarm_queries, hierarchy, metadata, metrics, topology_queries, ui
from backend.query.graphql.schema import MUTATIONS, QUERIES, UNUSED, executable_schema
from tests.backend.query.graphql import documents
from tests.backend.query.graphql.asking import Client

MODULES = (about, absent, alarm_queries, hierarchy, metadata, metrics, topology_queries, ui)
OPERATIONS = {"Query": QUERIES, "Mutation": MUTATIONS}


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return executable_schema()


@pytest.mark.parametrize("kind", OPERATIONS)
def test_every_operation_is_answered_and_every_answer_is_of_an_operation(schema: GraphQLSchema, kind: str) -> None:
    operations = schema.type_map[kind]
    assert isinstance(operations, GraphQLObjectType)
    assert operations.fields.keys() == OPERATIONS[kind].keys()


@pytest.mark.parametrize("kind", OPERATIONS)
def test_answers_take_the_arguments_of_their_operations(schema: GraphQLSchema, kind: str) -> None:
    operations = schema.type_map[kind]
    assert isinstance(operations, GraphQLObjectType)
    for name, answer in OPERATIONS[kind].items():
        taken = inspect.signature(answer).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
            continue
        arguments = operations.fields[name].args
        given = {argument.out_name or called for called, argument in arguments.items()} - set(UNUSED)
        keywords = {called for called, parameter in taken.items() if parameter.kind is parameter.KEYWORD_ONLY}
        needed = {called for called in keywords if taken[called].default is inspect.Parameter.empty}
        required = {argument.out_name or called for called, argument in arguments.items() if _is_required(argument)}
        assert given <= keywords, name
        assert needed <= required, name


def _is_required(argument: GraphQLArgument) -> bool:
    return str(argument.type).endswith("!")


@pytest.mark.parametrize("name", sorted(name for name in vars(documents) if name.isupper() and "FIELDS" not in name))
def test_every_document_of_a_client_is_valid(schema: GraphQLSchema, name: str) -> None:
    assert validate(schema, parse(getattr(documents, name))) == []


def test_no_operation_is_answered_twice() -> None:
    # The last one would be kept, and nothing said.
    by_module = [module.QUERIES.keys() for module in MODULES]
    assert sum(map(len, by_module)) == len(QUERIES)


async def test_tools_get_the_whole_schema(client: Client, schema: GraphQLSchema) -> None:
    answer = await client.answer(get_introspection_query())
    shown = build_client_schema(answer)  # type: ignore[arg-type] # an introspection
    assert shown.type_map.keys() == schema.type_map.keys()
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLEnumType):
            assert shown.type_map[name].values.keys() == kind.values.keys()  # type: ignore[attr-defined] # an enum
        if isinstance(kind, GraphQLObjectType):
            for field, defined in kind.fields.items():
                told = shown.type_map[name].fields[field]  # type: ignore[attr-defined] # an object
                assert str(told.type) == str(defined.type)
                assert get_named_type(told.type).name == get_named_type(defined.type).name


async def test_horizon_finds_out_what_can_be_asked(client: Client) -> None:
    answer = await client.answer(documents.HORIZON_CAPABILITIES)
    names = {field["name"] for field in answer["__type"]["fields"]}
    assert names == set(QUERIES)
    assert {"queryAlarms", "getAlarm", "execExpression", "getServicesTopology"} <= names


@pytest.mark.parametrize("value", ["1.5", "true", '"1"', str(2**63)])
async def test_a_long_is_a_whole_number_of_64_bits(client: Client, value: str) -> None:
    query = (
        'mutation { createEBPFProfilingFixedTimeTask(request: {serviceId: "x", processLabels: [], '
        f"startTime: {value}, duration: 1, targetType: ON_CPU}}) {{ status }} }}"
    )
    assert await client.errors(query)
