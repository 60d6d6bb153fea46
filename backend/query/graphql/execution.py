"""From a request to its answer."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute_sync,
    parse,
    validate,
)

from backend.query.errors import QueryError
from backend.query.graphql import limits
from backend.query.graphql.context import Context, Sources
from backend.query.graphql.expressions import expressions
from backend.query.graphql.schema import executable_schema
from backend.query.mqe.duration import DurationError
from backend.query.mqe.shared_series import Asked, SharedSeries
from backend.storage.interface import StorageError

LOGGER = logging.getLogger(__name__)

MAXIMUM_ERRORS = 20
"""Most errors that are told of one document, and of one answer."""
KEPT_DOCUMENTS = 64
"""Most documents that are kept as they were read: clients ask the same again and again."""
LONGEST_KEPT = 16_384
"""Longest of these, in characters."""
_ABORTED = "Parsing aborted"
"""What the parser says when a document has more tokens or comments than it was told to read."""

BAD_REQUEST, UNAVAILABLE, INTERNAL = "BAD_REQUEST", "UNAVAILABLE", "INTERNAL"
"""Codes of errors, in their extensions: the request is wrong, the store does not answer, and a defect."""


class Request(msgspec.Struct):
    """The body of a request, in the form of GraphQL over HTTP."""

    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = msgspec.field(default=None, name="operationName")


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and how it went."""

    body: bytes
    """JSON."""
    error: str = ""
    """Code of its first error; empty when there is none."""
    seconds: float = 0.0
    """How long it took."""


def share(requests: Sequence[Request], sources: Sources) -> SharedSeries:
    """What requests that are answered at the same time read together; those of long documents have their own."""

    def asked() -> Iterator[Asked]:
        for request in requests:
            # What is wrong with a document is told when it is answered.
            with contextlib.suppress(QueryError, _InvalidError):
                if len(request.query) <= LONGEST_KEPT:
                    yield from _expressions(request, _read(request.query), sources)

    return SharedSeries(sources.storage, sources.catalog, asked)


def answer(request: Request, context: Context) -> Answered:
    """Answer a request. Blocks; never raises for what was asked."""
    try:
        document = _read(request.query)
        _refuse_subscriptions(document)
    except QueryError as error:
        return refusal(error)
    except _InvalidError as invalid:
        return _encoded(ExecutionResult(errors=invalid.errors))
    if context.series is None or len(request.query) > LONGEST_KEPT:
        sources = context.sources
        context.series = SharedSeries(
            sources.storage, sources.catalog, lambda: _expressions(request, document, sources)
        )
    result = execute_sync(
        executable_schema(),
        document,
        context_value=context,
        variable_values=request.variables,
        operation_name=request.operation_name or None,
    )
    return _encoded(result)


def _expressions(request: Request, document: DocumentNode, sources: Sources) -> Iterator[Asked]:
    return expressions(document, request.operation_name or None, request.variables, sources.offset)


def refusal(error: QueryError, code: str = BAD_REQUEST) -> Answered:
    """The answer to a request that is refused as a whole."""
    body = {"errors": [{"message": _text(error), "extensions": {"code": code}}]}
    return Answered(msgspec.json.encode(body), code)


class _InvalidError(Exception):
    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__()
        self.errors = errors


def _read(text: str) -> DocumentNode:
    """A valid document. Raises QueryError and _InvalidError."""
    return _kept(text) if len(text) <= LONGEST_KEPT else _validated(text)


def _validated(text: str) -> DocumentNode:
    if len(text) > limits.MAXIMUM_DOCUMENT:
        raise QueryError(
            f"the document is longer than {limits.MAXIMUM_DOCUMENT:,} characters", "send it in several requests"
        )
    try:
        document = parse(
            text,
            max_lexical_tokens=limits.MAXIMUM_TOKENS,
            max_comments=limits.MAXIMUM_COMMENTS,
            allow_empty_selection_sets=False,
        )
    except GraphQLError as error:
        if _ABORTED in error.message:
            raise QueryError(
                f"the document has more than {limits.MAXIMUM_TOKENS:,} words and signs, or {limits.MAXIMUM_COMMENTS:,}"
                " comments",
                "send it in several requests",
            ) from None
        raise _InvalidError([error]) from None
    limits.check(document)
    if errors := validate(executable_schema(), document, max_errors=MAXIMUM_ERRORS):
        raise _InvalidError(errors)
    return document


_kept = lru_cache(KEPT_DOCUMENTS)(_validated)


def _refuse_subscriptions(document: DocumentNode) -> None:
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.operation is OperationType.SUBSCRIPTION:
            raise QueryError("there are no subscriptions here", "ask again instead")


def _encoded(result: ExecutionResult) -> Answered:
    errors = [_formatted(error) for error in result.errors or ()]
    if not errors:
        return Answered(msgspec.json.encode({"data": result.data}))
    body: dict[str, object] = {"errors": errors[:MAXIMUM_ERRORS]}
    if result.data is not None or any(error.path for error in result.errors or ()):
        body["data"] = result.data
    return Answered(msgspec.json.encode(body), _code(errors))


def _code(errors: Sequence[Mapping[str, Any]]) -> str:
    code: str = errors[0]["extensions"]["code"]
    return code


def _formatted(error: GraphQLError) -> dict[str, Any]:
    """An error as it is answered: what is the asker's is told, what is a defect is in the log."""
    shown: dict[str, Any] = {**error.formatted}
    match error.original_error:
        case None | GraphQLError():
            code = BAD_REQUEST
        case QueryError() as asked:
            code, shown["message"] = BAD_REQUEST, _text(asked)
        case DurationError():
            code = BAD_REQUEST
        case StorageError() as failed:
            LOGGER.warning("%s could not be answered: %s", error.path, failed)
            code, shown["message"] = UNAVAILABLE, f"{failed}; the backend's log says more, try again in a moment"
        case defect:
            LOGGER.error("%s failed", error.path, exc_info=defect)
            code, shown["message"] = INTERNAL, "the backend failed to answer; its log has the reason, please report it"
    shown["extensions"] = {**(error.extensions or {}), "code": code}
    return shown


def _text(error: QueryError) -> str:
    return f"{error.error}: {error.hint}"
