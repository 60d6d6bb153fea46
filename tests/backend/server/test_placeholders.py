import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.server.placeholders import PlaceholderError, substitute

SET = {
    "A": "1",
    "B": "${A}",
    "EMPTY": "",
    "URL": "http://h:80/x",
    "OUTER_1": "outer",
    "LOOP": "${LOOP:x}",
    "L2": "${L3}",
    "L3": "${L2}",
}


@pytest.mark.parametrize(
    ("text", "filled", "used"),
    [
        ("plain", "plain", ()),
        ("${A}", "1", ("A",)),
        ("${A:9}", "1", ("A",)),
        ("${NONE:9}", "9", ()),
        ("${NONE:}", "", ()),
        ("${EMPTY:9}", "", ("EMPTY",)),
        ("${URL:}", "http://h:80/x", ("URL",)),
        ("${NONE:http://h:80}", "http://h:80", ()),
        ("x${A}y${NONE:z}", "x1yz", ("A",)),
        ("${NONE:${A}}", "1", ("A",)),
        ("${NONE:${NONE2:${A:5}}-${A}}", "1-1", ("A",)),
        ("${OUTER_${A}:5}", "outer", ("A", "OUTER_1")),
        ("${B}", "1", ("B", "A")),
        ('${NONE:{"a": {"b": 1}}}', '{"a": {"b": 1}}', ()),
        ("$A {A} $", "$A {A} $", ()),
    ],
)
def test_placeholders_are_filled(text: str, filled: str, used: tuple[str, ...]) -> None:
    assert substitute(text, SET) == (filled, used)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${NONE}", "the variable NONE is not set: set it, or write ${NONE:default}"),
        ("x ${A", "'${A' has no end: write ${NAME:default}"),
        ("${NONE:${A}", "has no end"),
        ("${LOOP}", "the variable LOOP refers to itself"),
        ("${L2}", "the variable L2 refers to itself"),
        ("${N:" * 40 + "1" + "}" * 40, "more than 16 deep"),
    ],
)
def test_what_cannot_be_filled_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(PlaceholderError) as caught:
        substitute(text, SET)
    assert words in str(caught.value)


@given(st.text("${}:ANB1 ", max_size=60))
def test_whatever_is_written_is_filled_or_refused(text: str) -> None:
    try:
        filled, used = substitute(text, SET)
    except PlaceholderError:
        return
    assert set(used) <= set(SET)
    if "${" not in text:
        assert filled == text
