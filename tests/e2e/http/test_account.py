"""Accounts that differ are told apart, in everything that both say."""

from dataclasses import replace

import pytest

from tests.e2e.http.account import Expected, check, differences, merged, read_account

ONE = Expected(method="GET", path="/a", status=200, request_body_bytes=0, response_body_bytes=5, version=1, tls=False)
NAMES = ("left", "right")


def test_accounts_that_agree_in_any_order() -> None:
    other = replace(ONE, path="/b")
    assert differences([ONE, other], [other, ONE], NAMES) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (replace(ONE, status=201), "GET /a: status 200 by left, 201 by right"),
        (replace(ONE, response_body_bytes=6), "GET /a: response_body_bytes 5 by left, 6 by right"),
        (replace(ONE, tls=True, version=2), "GET /a: version 1 by left, 2 by right; tls False by left, True by right"),
    ],
    ids=["status", "size", "two"],
)
def test_a_difference(changed: Expected, told: str) -> None:
    assert differences([ONE], [changed], NAMES) == [told]


def test_an_exchange_that_one_side_does_not_have() -> None:
    assert differences([ONE, ONE], [ONE], NAMES) == ["GET /a: 2 by left, 1 by right"]
    assert differences([], [ONE], NAMES) == ["GET /a: 0 by left, 1 by right"]


def test_what_one_side_does_not_say_is_taken_from_the_other() -> None:
    left = replace(ONE, response_body_bytes=None)
    right = replace(ONE, request_body_bytes=None, response_header_bytes=70)
    assert merged([left], [right], NAMES) == [replace(ONE, response_header_bytes=70)]


def test_many_differences_are_counted() -> None:
    ours = [replace(ONE, path=f"/{number}") for number in range(20)]
    with pytest.raises(AssertionError, match="and 8 more"):
        check(ours, [], NAMES)


def test_an_account_is_read_without_queries() -> None:
    assert read_account('{"method": "GET", "path": "/a?b=/c", "status": 200}\n') == [
        Expected(method="GET", path="/a", status=200)
    ]
