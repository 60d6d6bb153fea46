"""Tables in terminals of any width: numbers whole, names readable, and what is left out named."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from backend.query.tables import Kind, Listing, _table

COLUMNS = (
    ("Service", Kind.NAME),
    ("Instances", Kind.DETAIL),
    ("Reads\n/min", Kind.NUMBER),
    ("Protocol", Kind.WORD),
    ("Seen\nby", Kind.DETAIL),
)
NAME = "a-service-with-a-long-name.default"
LISTING = Listing(COLUMNS, [(NAME, "12", "1,234,567", "https", "client"), ("api", "1", "3", "tcp", "both")], "all")


def drawn(listing: Listing, width: int) -> list[str]:
    written = io.StringIO()
    Console(file=written, width=width, color_system=None, force_terminal=True).print(_table(listing.fitted(width)))
    return written.getvalue().splitlines()


def titles(width: int) -> list[str]:
    return [title for title, _ in LISTING.fitted(width).columns]


def test_details_go_from_the_right_and_are_named() -> None:
    assert LISTING.fitted(120) is LISTING
    # 16 of the name, 9, 9, 8 and 6 of the others, and 2 beside each.
    assert LISTING.fitted(58) is LISTING
    assert titles(57) == ["Service", "Instances", "Reads\n/min", "Protocol"]
    assert LISTING.fitted(57).caption == "all\nleft out, for a wider terminal: Seen by"
    assert titles(49) == ["Service", "Reads\n/min", "Protocol"]
    assert LISTING.fitted(49).caption == "all\nleft out, for a wider terminal: Instances, Seen by"
    assert LISTING.fitted(49).rows == [(NAME, "1,234,567", "https"), ("api", "3", "tcp")]
    assert titles(1) == ["Service", "Reads\n/min", "Protocol"]


@given(width=st.integers(40, 130))
def test_nothing_is_cut_in_a_terminal_that_has_room_for_names(width: int) -> None:
    lines = drawn(LISTING, width)
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    for whole in ("1,234,567", "https", "Protocol", "api"):
        assert whole in text
    # A name is folded at the left, and whole when its pieces are put together.
    pieces = [line.strip().split(" ")[0] for line in lines if line.strip()]
    assert NAME in "".join(pieces)


@pytest.mark.parametrize("caption", [None, "all"])
def test_a_listing_without_rows_has_its_titles(caption: str | None) -> None:
    listing = Listing(COLUMNS, [], caption)
    assert "Service" in "\n".join(drawn(listing, 80))


def test_a_tree_is_cut_and_never_folded() -> None:
    names = ("├─ checkout-service-with-a-long-name.default", "└─ api")
    listing = Listing((("Service", Kind.TREE), ("Calls", Kind.NUMBER)), [(name, "1,234,567") for name in names], None)
    assert [line.rstrip() for line in drawn(listing, 60)][-3:-1] == [
        " ├─ checkout-service-with-a-long-name.default  1,234,567",
        " └─ api                                        1,234,567",
    ]
    assert [line.rstrip() for line in drawn(listing, 45)][-3:-1] == [
        " ├─ checkout-service-with-a-long…  1,234,567",
        " └─ api                            1,234,567",
    ]
