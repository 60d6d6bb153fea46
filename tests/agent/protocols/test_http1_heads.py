"""Heads from memory, one or many at a time: what is remembered, and of which pieces heads are read early."""

import pytest

from agent.protocols import http1_heads
from agent.protocols.exchange import Head
from agent.protocols.http1_head import RequestHead, ResponseHead
from agent.protocols.http1_heads import LONGEST_EARLY, LONGEST_REMEMBERED, REMEMBERED, heads_at_beginnings
from tests.agent.protocols.payload import READ, fragment

ASKING, ANSWERING = b"GET /%d HTTP/1.1\r\nHost: shop\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


def asked(data: bytes) -> RequestHead:
    head = http1_heads.requests.read(data)
    assert head is not None
    return head


def test_what_was_read_is_remembered_of_so_many_heads_and_of_no_long_ones() -> None:
    for number in range(REMEMBERED + 1):
        for _ in range(2):
            assert asked(ASKING % number).path == f"/{number}"
            answer = http1_heads.responses.read(ANSWERING % number)
            assert answer is not None
            assert answer.body == number
    last = ASKING % REMEMBERED
    assert asked(last) is asked(last)
    for memory in (http1_heads.requests, http1_heads.responses):
        assert 0 < len(memory) <= REMEMBERED
    longest = b"GET / HTTP/1.1\r\na: %s\r\n\r\n" % (b"x" * (LONGEST_REMEMBERED - len(b"GET / HTTP/1.1\r\na: \r\n\r\n")))
    for head, is_remembered in ((longest, True), (longest.replace(b"a:", b"ab:"), False)):
        asked(head)
        assert (asked(head) is asked(head)) is is_remembered


@pytest.mark.parametrize("copies", [1, 150])
def test_heads_at_the_beginning_of_pieces_are_read_whatever_is_behind_them(copies: int) -> None:
    pieces = [
        ASKING % 7 + b"rest",
        ANSWERING % 5 + b"hello",
        b"GET /7 HTTP/1.1\r\nHost: shop\r\n",
        b"",
        b"hello" + ANSWERING % 5,
        b"GET / HTTP/2.0\r\n\r\n",
    ]
    found = heads_at_beginnings([fragment(READ, data) for data in pieces] * copies)
    request = RequestHead(len(ASKING % 7), 0, "GET", "/7", "shop", None)
    response = ResponseHead(len(ANSWERING % 5), 5, 200)
    assert found == [request, response, None, None, None, None] * copies


def test_long_heads_wait_for_their_turn() -> None:
    longest = b"GET / HTTP/1.1\r\na: %s\r\n\r\n" % (b"x" * (LONGEST_EARLY - len(b"GET / HTTP/1.1\r\na: \r\n\r\n")))
    early, late = heads_at_beginnings([fragment(READ, head) for head in (longest, longest.replace(b"a:", b"ab:"))])
    assert isinstance(early, Head)
    assert early.size == LONGEST_EARLY
    assert late is None
