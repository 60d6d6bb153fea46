"""deploy/manifests/text.py: what is written is read as what was declared, with values in their places."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.manifests.nodes import Condition, Noted, Value, When, Words, resolved
from deploy.manifests.text import condition, document
from tests.deploy.rendering import rendered

CHARACTERS = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])
TEXTS = st.text(CHARACTERS).filter(lambda text: "{{" not in text and "}}" not in text)
KEYS = st.text(CHARACTERS, max_size=50).filter(lambda text: "{{" not in text and "}}" not in text)
"""YAML has no keys of more than 1,024 characters, escaped ones included, without a question mark before them."""
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | st.from_regex(r"[a-z]+:? ?\n[ a-z]*\n?", fullmatch=True)
TREES = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=4), max_leaves=8
)

NAMES = ("zero", "one", "section.two")
VALUES = st.fixed_dictionaries({"zero": TREES, "one": TEXTS, "section": st.fixed_dictionaries({"two": TEXTS})})
TESTS = st.builds(Condition, st.sampled_from(NAMES)) | st.builds(Condition, st.just("one"), st.sampled_from(["", "x"]))


def with_values(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mappings and lists with conditions and comments; the first entry is always there."""
    conditions = st.builds(When, st.lists(TESTS, min_size=1, max_size=3).map(tuple), below)
    entries = below | conditions | st.builds(Noted, st.just("a comment of some words"), below | conditions)
    sure = below.filter(lambda node: not isinstance(node, When))
    lists = st.tuples(sure, st.lists(entries, max_size=2)).map(lambda pair: [pair[0], *pair[1]])
    mappings = st.tuples(sure, st.dictionaries(st.sampled_from("abc"), entries, max_size=2)).map(
        lambda pair: {"first": pair[0], **pair[1]}
    )
    return lists | mappings


DECLARED = with_values(
    st.recursive(
        SCALARS
        | st.sampled_from(NAMES).map(Value)
        | st.sampled_from(["{one}", "{one}:{section.two}", "before {one}"]).map(Words),
        with_values,
        max_leaves=5,
    )
)


@given(st.dictionaries(KEYS, TREES, max_size=4) | st.lists(TREES, max_size=4))
def test_a_tree_is_read_as_what_it_is(tree: Any) -> None:  # noqa: ANN401 - anything
    assert yaml.safe_load(document(tree)) == tree


@given(DECLARED, VALUES)
def test_a_template_gives_what_putting_values_in_their_places_gives(node: Any, values: dict[str, Any]) -> None:  # noqa: ANN401 - same
    text = rendered(document(node), {"Values": values})
    assert yaml.safe_load(text) == resolved(node, values)


@given(DECLARED, VALUES)
def test_comments_change_nothing(node: Any, values: dict[str, Any]) -> None:  # noqa: ANN401 - same
    with_comments = document(resolved(node, values, keep_comments=True))
    assert yaml.safe_load(with_comments) == resolved(node, values)


def test_what_cannot_be_written_is_refused() -> None:
    for node in ({"a": "{{ x }}"}, {"{{": 1}, ["}}"], ["\U0001f600"], {"a": {"b": When((Condition("x"),), 1)}}):
        with pytest.raises(ValueError, match="would be"):
            document(node)


def test_conditions() -> None:
    assert condition((Condition("a.b"),)) == ".Values.a.b"
    assert condition((Condition("a"), Condition("b", "c"))) == 'and .Values.a (eq .Values.b "c")'


def test_long_texts_and_comments_are_wrapped() -> None:
    text = document({"a": Noted("word " * 60, "line\nline\n"), "b": "one\ntwo"})
    assert max(map(len, text.splitlines())) <= 118
    assert "a: |\n  line\n  line\n" in text
    assert 'b: "one\\ntwo"\n' in text
