"""How much one request may ask for."""

from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from backend.query.errors import QueryError

MAXIMUM_BODY = 4 * 1024 * 1024
"""Most bytes of a request: room for the largest dashboard."""
MAXIMUM_DOCUMENT = 512 * 1024
"""Longest document, in characters."""
MAXIMUM_TOKENS = 40_000
"""Most words and signs of a document."""
MAXIMUM_COMMENTS = 1_000
"""Most comments of a document."""
MAXIMUM_DEPTH = 20
"""Deepest selection; what tools ask to know a schema is 18 deep."""
MAXIMUM_FIELDS = 8_000
"""Most fields of an operation, with those of fragments at each place they are used; Apache SkyWalking takes 3,000."""
MAXIMUM_QUESTIONS = 500
"""Most fields of an operation's top, each of which is a question of its own."""
MAXIMUM_OPERATIONS = 50
"""Most operations and fragments of a document."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much a selection asks for."""

    fields: int = 0
    depth: int = 0


def check(document: DocumentNode) -> None:
    """Raise QueryError when a document asks for too much. It needs not be valid."""
    if len(document.definitions) > MAXIMUM_OPERATIONS:
        raise QueryError(
            f"the document has {len(document.definitions):,} operations and fragments, more than {MAXIMUM_OPERATIONS}",
            "send them one by one",
        )
    measures = Measure(document)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            _check_operation(definition, measures)


def _check_operation(operation: OperationDefinitionNode, measures: "Measure") -> None:
    size = measures.selection(operation.selection_set)
    if size.depth > MAXIMUM_DEPTH:
        raise QueryError(f"the query is {size.depth} levels deep, more than {MAXIMUM_DEPTH}", "ask for less at a time")
    questions = measures.questions(operation.selection_set)
    if questions > MAXIMUM_QUESTIONS:
        raise QueryError(
            f"the query asks {questions:,} questions, more than {MAXIMUM_QUESTIONS}", "send them in several requests"
        )
    if size.fields > MAXIMUM_FIELDS:
        raise QueryError(
            f"the query asks for {size.fields:,} fields, more than {MAXIMUM_FIELDS:,}",
            "send it in parts, or ask for fewer fields",
        )


class Measure:
    """Measures selections; each fragment once, whatever the number of its uses."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._sizes: dict[str, Size] = {}
        self._questions: dict[str, int] = {}

    def selection(self, selection: SelectionSetNode | None) -> Size:
        """All fields of a selection, and how deep they are; a fragment is as deep as a field."""
        if selection is None:
            return Size()
        fields = depth = 0
        for node in selection.selections:
            match node:
                case FieldNode():
                    fields, inner = fields + 1, self.selection(node.selection_set)
                case InlineFragmentNode():
                    inner = self.selection(node.selection_set)
                case FragmentSpreadNode():
                    inner = self._fragment(node.name.value)
                case _:
                    continue
            fields += inner.fields
            depth = max(depth, inner.depth)
        return Size(fields, depth + 1)

    def questions(self, selection: SelectionSetNode) -> int:
        """Fields of an operation's top."""
        count = 0
        for node in selection.selections:
            match node:
                case FieldNode():
                    count += 1
                case InlineFragmentNode():
                    count += self.questions(node.selection_set)
                case FragmentSpreadNode():
                    count += self._questions_of(node.name.value)
        return count

    def _fragment(self, name: str) -> Size:
        if name not in self._sizes:
            # One that is used within itself is not valid, which is found later; here it must not be followed for ever.
            self._sizes[name] = Size()
            found = self._fragments.get(name)
            self._sizes[name] = self.selection(None if found is None else found.selection_set)
        return self._sizes[name]

    def _questions_of(self, name: str) -> int:
        if name not in self._questions:
            self._questions[name] = 0
            found = self._fragments.get(name)
            self._questions[name] = 0 if found is None else self.questions(found.selection_set)
        return self._questions[name]
