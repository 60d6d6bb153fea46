"""The expressions that a request asks for, found before it is executed: requests share what they read."""

from collections.abc import Iterator
from typing import Any

from graphql import DocumentNode, FieldNode, GraphQLError, OperationDefinitionNode
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values

from backend.query.errors import QueryError
from backend.query.graphql.inputs import SpanText
from backend.query.graphql.schema import executable_schema
from backend.query.mqe.duration import DurationError, parse_duration
from backend.query.mqe.shared_series import Asked

EXPRESSION = "execExpression"


def expressions(
    document: DocumentNode, operation_name: str | None, variables: dict[str, Any] | None, offset: int
) -> Iterator[Asked]:
    """The expressions at the top of the operation that is executed. What is wrong is left to the execution.

    Args:
        document: what is executed; it is valid.
        operation_name: of the operation; None when there is but one.
        variables: as they were sent.
        offset: minutes that the server's zone is ahead of UTC.
    """
    operation = _operation(document, operation_name)
    fields = [] if operation is None else _fields(operation)
    if operation is None or not fields:
        return
    schema = executable_schema()
    values = get_variable_values(schema, operation.variable_definitions or (), variables or {})
    if not isinstance(values, VariableValues) or schema.query_type is None:
        return
    for field in fields:
        try:
            arguments = get_argument_values(schema.query_type.fields[EXPRESSION], field, values)
            span: SpanText = arguments["duration"]
            duration = parse_duration(span.start, span.end, span.step, offset)
        except (GraphQLError, QueryError, DurationError):
            continue
        yield Asked(arguments["expression"], arguments["entity"], duration)


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode | None:
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    named = [one for one in operations if name is None or (one.name is not None and one.name.value == name)]
    return named[0] if len(named) == 1 else None


def _fields(operation: OperationDefinitionNode) -> list[FieldNode]:
    return [
        node
        for node in operation.selection_set.selections
        if isinstance(node, FieldNode) and node.name.value == EXPRESSION
    ]
