"""How much a request may ask for: each bound is met from both sides."""

import pytest
from graphql import get_introspection_query, parse
from hypothesis import given
from hypothesis import strategies as st

from backend.query.errors import QueryError
from backend.query.graphql import limits
from backend.query.graphql.limits import check
from backend.storage.memory import MemoryStorage
from tests.backend.query.graphql.asking import Client, asking

TOO_LONG = "the document has more than 40,000 words and signs, or 1,000 comments: send it in several requests"


def refusal(text: str) -> str:
    with pytest.raises(QueryError) as refused:
        check(parse(text))
    return f"{refused.value.error}: {refused.value.hint}"


def nested(depth: int) -> str:
    return "{ a " * depth + "}" * depth


def test_depth() -> None:
    check(parse(nested(limits.MAXIMUM_DEPTH)))
    assert refusal(nested(limits.MAXIMUM_DEPTH + 1)) == (
        "the query is 21 levels deep, more than 20: ask for less at a time"
    )


def test_fragments_are_as_deep_as_fields() -> None:
    chain = " ".join(f"fragment f{number} on T {{ ...f{number + 1} }}" for number in range(30)) + nested(1)
    assert refusal(f"{{ ...f0 }} {chain} fragment f30 on T {{ a }}").startswith("the query is 32 levels deep")
    assert refusal("{ ... { a " * 15 + "} }" * 15).startswith("the query is 30 levels deep")


def test_questions_are_counted_at_the_top_wherever_they_are_written() -> None:
    def aliases(count: int) -> str:
        return " ".join(f"a{number}: version" for number in range(count))

    most = limits.MAXIMUM_QUESTIONS
    check(parse(f"{{ {aliases(most)} }}"))
    too_many = f"the query asks {most + 1} questions, more than {most}: send them in several requests"
    assert refusal(f"{{ {aliases(most + 1)} }}") == too_many
    assert refusal(f"{{ {aliases(most)} ... {{ x: version }} }}") == too_many
    assert refusal(f"{{ {aliases(most)} ...F }} fragment F on Query {{ x: version }}") == too_many


def test_fields_of_fragments_count_wherever_these_are_used() -> None:
    # Each fragment uses the next one twice: 2 to the power of 13 fields, in a short text.
    chain = " ".join(f"fragment f{number} on T {{ ...f{number + 1} ...f{number + 1} }}" for number in range(13))
    text = f"{{ a {{ ...f0 }} }} {chain} fragment f13 on T {{ b }}"
    assert refusal(text) == (
        f"the query asks for {2**13 + 1:,} fields, more than 8,000: send it in parts, or ask for fewer fields"
    )
    check(parse(text.replace("...f13 ...f13", "...f13")))


def test_a_document_has_a_largest_number_of_operations() -> None:
    most = limits.MAXIMUM_OPERATIONS
    check(parse(" ".join(f"query q{number} {{ a }}" for number in range(most))))
    assert refusal(" ".join(f"query q{number} {{ a }}" for number in range(most + 1))) == (
        "the document has 51 operations and fragments, more than 50: send them one by one"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{ ...A } fragment A on T { a ...A }",
        "{ ...A } fragment A on T { ...B } fragment B on T { ...A b }",
        "{ ...Missing }",
    ],
)
def test_what_is_not_valid_is_measured_all_the_same(text: str) -> None:
    check(parse(text))


def test_a_tool_may_ask_for_the_whole_schema() -> None:
    check(parse(get_introspection_query(input_value_deprecation=True, directive_is_repeatable=True)))


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, int, int]:
    """A selection with inline fragments, and the number and depth of its fields, counted while it is made."""

    def selection(levels: int) -> tuple[str, int, int]:
        items = draw(st.lists(st.sampled_from("fio"), min_size=1, max_size=3))
        texts, fields, depth = [], 0, 0
        for item in items:
            inner, inside, below = selection(levels - 1) if levels and item != "f" else ("", 0, 0)
            texts.append(f"... {inner}" if item == "i" and inner else f"a {inner}")
            fields += inside + (0 if item == "i" and inner else 1)
            depth = max(depth, below)
        return "{" + " ".join(texts) + "}", fields, depth + 1

    return selection(4)


@given(documents())
def test_measures_are_those_counted_while_writing(drawn: tuple[str, int, int]) -> None:
    text, fields, depth = drawn
    document = parse(text)
    (operation,) = document.definitions
    size = limits.Measure(document).selection(operation.selection_set)  # type: ignore[attr-defined] # an operation
    assert (size.fields, size.depth) == (fields, depth)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ " + "a " * limits.MAXIMUM_TOKENS + "}", TOO_LONG),
        (
            "#\n" * (limits.MAXIMUM_COMMENTS + 1) + "{ version }",
            TOO_LONG,
        ),
        (" " * limits.MAXIMUM_DOCUMENT + "{}", "the document is longer than 524,288 characters: send it in several"),
        (nested(21), "the query is 21 levels deep, more than 20: ask for less at a time"),
    ],
)
async def test_what_is_too_much_is_answered_with_an_error(text: str, message: str) -> None:
    async with asking(MemoryStorage()) as client:
        (error,) = await client.errors(text)
        assert error["message"].startswith(message)
        assert error["extensions"] == {"code": "BAD_REQUEST"}
        assert client.counted("errors_total", code="BAD_REQUEST") == 1


async def test_deep_nesting_of_any_kind_is_an_error_and_not_a_crash(client: Client) -> None:
    for text in ("{a" * 10_000, "{ a(b: " + "[" * 10_000, "{...{" * 9_000, "query ($a: " + "[" * 10_000):
        (error,) = await client.errors(text)
        assert error["extensions"] == {"code": "BAD_REQUEST"}


async def test_an_introspection_in_circles_is_refused(client: Client) -> None:
    circle = "fields { type { " * 4 + "name" + " } }" * 4
    (error,) = await client.errors(f"{{ __schema {{ types {{ {circle} }} }} }}")
    assert error["message"] == "Maximum introspection depth exceeded"
