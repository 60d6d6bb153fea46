import pytest

from agent.protocols.exchange import Ended, Exchange, Flow, Half, TraceContext, TraceProvider, Version
from agent.protocols.http1_losses import Loss
from tests.agent.protocols.http1_playing import Play, piece

GET = b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nContent-Length: 4\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
CHUNKED_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_an_exchange_has_all_that_its_bytes_and_their_times_say() -> None:
    play = Play()
    assert play.ask(GET) == []
    assert play.parser.is_busy
    play.answer(OK, b"hel", b"lo")
    assert play.exchanges == [
        Exchange(
            Version.HTTP1,
            "GET",
            "/a",
            "shop",
            200,
            Half(10, 12, 7, 7, len(GET), 0),
            Half(20, 42, 17, 37, len(OK), 5),
        )
    ]
    assert (play.parser.is_busy, play.end(), play.losses) == (False, [], {})


def test_a_head_in_many_calls_is_timed_from_its_first_to_its_last_byte() -> None:
    play = Play()
    play.ask(*[GET[at : at + 1] for at in range(len(GET))])
    play.answer(*[OK[at : at + 7] for at in range(0, len(OK), 7)], b"hello")
    (exchange,) = play.exchanges
    assert (exchange.request.first_ns, exchange.request.last_ns) == (10, 10 * len(GET) + 2)
    assert exchange.request.header_bytes == len(GET)
    assert exchange.response.header_bytes == len(OK)


def test_what_begun_has_is_told_as_the_same_object() -> None:
    play = Play()
    play.ask(GET[:9])
    assert play.parser.begun == []
    play.ask(GET[9:])
    (begun,) = play.parser.begun
    play.answer(OK)
    assert play.parser.begun == []
    play.answer(b"hello")
    assert play.exchanges[0] is begun


def test_requests_sent_at_once_are_answered_in_their_order() -> None:
    play = Play()
    play.ask(b"HEAD /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nDELETE /3 HTTP/1.1\r\n\r\n")
    lines = [told.line for told in play.answer(OK + OK + b"hello" + NO_CONTENT)]
    assert lines == ["HEAD /1 200", "GET /2 200", "DELETE /3 204"]


@pytest.mark.parametrize(
    ("ask", "answer", "told"),
    [
        (b"HEAD /a HTTP/1.1\r\n\r\n", OK, "HEAD /a 200"),
        (b"GET /a HTTP/1.1\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "GET /a 304"),
        (b"GET /a HTTP/1.1\r\n\r\n", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "GET /a 204"),
        (b"PROPFIND /a HTTP/1.1\r\n\r\n", b"HTTP/1.1 207\r\nContent-Length: 0\r\n\r\n", "PROPFIND /a 207"),
    ],
)
def test_responses_without_a_body(ask: bytes, answer: bytes, told: str) -> None:
    play = Play()
    play.ask(ask)
    assert play.answer(answer) == [(told, (len(ask), 0), (len(answer), 0))]


def test_a_body_that_ends_with_the_connection() -> None:
    play = Play()
    head = b"HTTP/1.0 200 OK\r\n\r\n"
    play.ask(GET)
    assert play.answer(head + b"hello", 1_000, b"world") == []
    assert play.end() == [("GET /a 200", (len(GET), 0), (len(head), 1_010))]


def test_a_coding_that_is_not_chunked_last_ends_with_the_connection() -> None:
    play = Play()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n"
    play.ask(GET)
    assert play.answer(head + b"5\r\nhello\r\n0\r\n\r\n") == []
    assert play.end() == [("GET /a 200", (len(GET), 0), (len(head), 15))]


def test_a_body_that_is_not_captured_counts_with_its_size() -> None:
    play = Play()
    head = POST.replace(b"4", b"5000")
    play.ask([head + b"x" * 20, 4_948, b"x" * 32])
    head_back = OK.replace(b"5", b"100000")
    assert play.answer(head_back, 99_999) == []
    assert play.answer(1) == [("POST /b 200", (len(head), 5_000), (len(head_back), 100_000))]
    play.ask(GET)
    assert play.answer(EMPTY) == [("GET /a 200", (len(GET), 0), (len(EMPTY), 0))]
    assert not play.losses


def test_interim_responses_are_of_the_final_ones_header_bytes() -> None:
    play = Play()
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    play.ask(GET)
    assert play.answer(b"HTTP/1.1 100 Continue\r\n\r\n" + hints) == []
    assert play.answer(EMPTY) == [("GET /a 200", (len(GET), 0), (25 + len(hints) + len(EMPTY), 0))]
    assert play.exchanges[0].response.first_ns == 20


def test_an_upload_that_is_answered_before_its_end_is_told_at_its_end() -> None:
    play = Play()
    refused = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    play.ask(POST + b"bo")
    assert play.answer(refused) == []
    assert play.ask(b"dy") == [("POST /b 413", (len(POST), 4), (len(refused), 0))]


def test_an_upload_that_is_answered_and_cut_is_told_with_what_has_passed() -> None:
    play = Play()
    refused = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
    play.ask(POST + b"bo")
    play.answer(refused)
    assert play.end() == [("POST /b 413", (len(POST), 2), (len(refused), 0))]


EXPECT = b"PUT /c HTTP/1.1\r\nContent-Length: 400\r\nExpect: 100-continue\r\n\r\n"


def test_a_body_that_is_asked_for() -> None:
    play = Play()
    play.ask(EXPECT)
    play.answer(b"HTTP/1.1 100 Continue\r\n\r\n")
    play.ask(b"x" * 400)
    assert play.answer(EMPTY) == [("PUT /c 200", (len(EXPECT), 400), (25 + len(EMPTY), 0))]


def test_a_body_that_nobody_asks_for_is_not_sent() -> None:
    play = Play()
    play.ask(EXPECT)
    assert play.answer(EMPTY.replace(b"200 OK", b"417 No")) == []
    assert play.ask(GET) == [("PUT /c 417", (len(EXPECT), 0), (len(EMPTY), 0))]
    assert play.answer(EMPTY) == [("GET /a 200", (len(GET), 0), (len(EMPTY), 0))]


def test_a_body_that_nobody_asks_for_may_be_sent() -> None:
    play = Play()
    play.ask(EXPECT)
    play.answer(EMPTY.replace(b"200 OK", b"417 No"))
    assert play.ask(b"x" * 200, GET + b"x" * (200 - len(GET))) == [("PUT /c 417", (len(EXPECT), 400), (len(EMPTY), 0))]


def test_a_body_that_was_asked_for_is_sent_whatever_it_begins_with() -> None:
    play = Play()
    play.ask(EXPECT)
    play.answer(b"HTTP/1.1 100 Continue\r\n\r\n", EMPTY)
    told = play.ask(GET + b"x" * (400 - len(GET)))
    assert told == [("PUT /c 200", (len(EXPECT), 400), (25 + len(EMPTY), 0))]


def test_requests_without_a_response_have_status_0() -> None:
    play = Play()
    play.ask(GET, POST + b"bo")
    assert play.end() == [("GET /a 0", (len(GET), 0), (0, 0)), ("POST /b 0", (len(POST), 2), (0, 0))]
    assert not play.losses


def test_a_response_that_is_cut_is_told_with_what_has_passed() -> None:
    play = Play()
    play.ask(GET)
    play.answer(OK + b"he")
    assert play.end() == [("GET /a 200", (len(GET), 0), (len(OK), 2))]


def test_heads_that_are_cut_are_counted() -> None:
    play = Play()
    play.ask(GET, b"GET /n")
    play.answer(b"HTTP/1.1 200 OK\r\nCont")
    assert play.end() == [("GET /a 0", (len(GET), 0), (0, 0))]
    assert play.losses == {Loss.HEAD_UNFINISHED: 2}


def test_a_response_to_nothing_is_counted_and_given_to_no_other_request() -> None:
    play = Play()
    assert play.answer(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") == []
    play.ask(GET)
    assert play.losses == {Loss.RESPONSE_WITHOUT_REQUEST: 1}
    assert play.answer(EMPTY) == [("GET /a 200", (len(GET), 0), (len(EMPTY), 0))]
    assert play.answer(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n") == []
    assert play.end() == []
    assert play.losses == {Loss.RESPONSE_WITHOUT_REQUEST: 2}


def test_a_response_that_is_fed_before_its_request_waits_for_it() -> None:
    play = Play()
    play.now = 100
    assert play.answer(OK, b"hello") == []
    play.now = 50
    assert play.ask(GET) == [("GET /a 200", (len(GET), 0), (len(OK), 5))]
    assert not play.losses


def test_a_large_response_by_many_calls_waits_for_its_request() -> None:
    play = Play()
    size, calls = 16_384, 320
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * calls)
    play.now = 100
    assert play.answer(head) == []
    for _ in range(calls):
        edge, middle = b"x" * 32, size - 64
        assert play.answer([edge, middle, edge]) == []
    play.now = 50
    assert play.ask(GET) == [("GET /a 200", (len(GET), 0), (len(head), size * calls))]
    assert not play.losses


def test_what_waits_for_a_request_is_bounded() -> None:
    play = Play()
    play.answer(OK.replace(b"5", b"99999999"), *[b"x" * 1_000] * 1_000)
    assert play.losses == {Loss.RESPONSE_WITHOUT_REQUEST: 1}
    assert sum(len(held.data or b"") for held, _ in play.parser._responses.held) == 0
    play.ask(GET)
    assert play.answer(EMPTY) == [("GET /a 200", (len(GET), 0), (len(EMPTY), 0))]


def test_a_tunnel_ends_the_reading() -> None:
    play = Play()
    connect = b"CONNECT db.internal:5432 HTTP/1.1\r\nHost: db.internal:5432\r\n\r\n"
    established = b"HTTP/1.1 200 Connection established\r\n\r\n"
    play.ask(connect)
    assert play.answer(established + b"\x00binary") == [
        ("CONNECT db.internal:5432 200", (len(connect), 0), (len(established), 0))
    ]
    assert play.exchanges[0].host == "db.internal:5432"
    assert play.parser.ended is Ended.TUNNEL
    assert play.ask(GET) == play.answer(OK) == play.end() == []
    assert not play.parser.rest
    assert not play.losses


def test_a_tunnel_that_is_refused_is_an_exchange_like_others() -> None:
    play = Play()
    play.ask(b"CONNECT db:5432 HTTP/1.1\r\n\r\n", GET)  # the second waits for what becomes of the connection
    assert [told.line for told in play.answer(OK.replace(b"200", b"403") + b"hello", EMPTY)] == [
        "CONNECT db:5432 403",
        "GET /a 200",
    ]
    assert play.parser.ended is None


UPGRADE = b"GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\n\r\n"


def test_an_upgrade_to_something_else_is_told_and_ends_the_reading() -> None:
    play = Play()
    ask, answer = UPGRADE % b"websocket", SWITCHING % b"websocket"
    play.ask(ask)
    assert play.answer(answer + b"\x81\x05hello") == [("GET /chat 101", (len(ask), 0), (len(answer), 0))]
    assert play.parser.ended is Ended.TUNNEL


def test_an_upgrade_to_http2_hands_on_its_request_and_what_was_fed_behind_it() -> None:
    play = Play()
    ask, answer = UPGRADE % b"h2c", SWITCHING % b"H2C"
    play.ask(ask, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert play.answer([answer + b"settings", 7]) == []
    parser = play.parser
    assert parser.ended is Ended.UPGRADED
    assert parser.upgraded_request is not None
    assert (parser.upgraded_request.method, parser.upgraded_request.path) == ("GET", "/chat")
    assert parser.upgraded_request.response.header_bytes == len(answer)
    assert [(flow, rest.data) for flow, rest in parser.rest] == [
        (Flow.REQUESTS, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (Flow.RESPONSES, b"settings"),
    ]
    assert parser.rest[1][1].call_ns == play.now - 3
    assert not play.losses


def test_an_upgrade_that_is_declined_goes_on_as_it_was() -> None:
    play = Play()
    play.ask(UPGRADE % b"h2c", GET)
    assert [told.line for told in play.answer(EMPTY, OK + b"hello")] == ["GET /chat 200", "GET /a 200"]


def test_the_trace_of_a_request() -> None:
    play = Play()
    play.ask(b"GET / HTTP/1.1\r\nTraceParent:  00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 \r\n\r\n")
    play.answer(EMPTY)
    assert play.exchanges[0].trace == TraceContext(
        TraceProvider.ZIPKIN, "4bf92f3577b34da6a3ce929d0e0e4736", "", "00f067aa0ba902b7"
    )


def test_a_stream_of_events_is_told_in_slices() -> None:
    play = Play()
    play.ask(GET)
    play.now = begin = 100_000_000_000
    play.answer(CHUNKED_OK + b"5\r\nfirst\r\n")
    play.now = begin + 59_000_000_000
    assert play.slices() == []
    play.now = begin + 70_000_000_000
    (one,) = play.slices()
    assert (one.slice, one.is_last, one.status) == (1, False, 200)
    assert one.request == Half(10, 12, 7, 7, len(GET), 0)
    assert one.response == Half(begin + 10, begin + 12, begin + 7, begin + 7, len(CHUNKED_OK), 5)
    play.now += 60_000_000_000
    assert play.slices() == []  # nothing has passed
    play.answer(b"6\r\nsecond\r\n")
    (two,) = play.slices()
    assert (two.slice, two.is_last, two.status) == (2, False, 200)
    assert two.request == Half()
    assert two.response == Half(play.now, play.now + 2, play.now - 3, play.now - 3, 0, 6)
    assert play.answer(b"5\r\nthird\r\n0\r\n\r\n") == [("GET /a 200", (0, 0), (0, 5))]
    assert (play.exchanges[0].slice, play.exchanges[0].is_last) == (3, True)


def test_a_long_upload_is_told_in_slices_and_a_long_wait_is_not() -> None:
    play = Play()
    play.ask(GET)
    play.now += 600_000_000_000
    assert play.slices() == []
    play.answer(EMPTY)
    play.ask(POST + b"b")
    play.now += 60_000_000_000
    (one,) = play.slices()
    assert (one.slice, one.status, one.request.body_bytes) == (1, 0, 1)
    play.ask(b"ody")
    assert play.answer(EMPTY) == [("POST /b 200", (0, 3), (len(EMPTY), 0))]
    assert play.exchanges[-1].slice == 2


def test_an_empty_line_in_a_call_of_its_own_changes_nothing() -> None:
    play = Play()
    play.ask(GET)
    play.answer(EMPTY)
    play.ask(b"\r\n", GET)
    assert play.answer(EMPTY) == [("GET /a 200", (len(GET), 0), (len(EMPTY), 0))]


def test_a_tunnel_behind_an_exchange_is_told_and_nothing_in_it() -> None:
    play = Play()
    play.ask(GET)
    play.answer(EMPTY)
    play.ask(b"CONNECT db:1 HTTP/1.1\r\n\r\n", GET)
    assert [told.line for told in play.answer(b"HTTP/1.1 200 OK\r\n\r\n", EMPTY)] == ["CONNECT db:1 200"]
    assert play.parser.ended is Ended.TUNNEL


def test_a_response_from_before_its_request_is_that_of_another_one() -> None:
    play = Play()
    play.ask(GET)
    play.answer(EMPTY)
    play.now += 100
    play.ask(GET)
    play.now -= 50
    assert play.answer(EMPTY) == []
    play.now += 100
    assert [told.line for told in play.answer(NO_CONTENT)] == ["GET /a 204"]
    assert play.losses == {Loss.RESPONSE_WITHOUT_REQUEST: 1}


def test_pieces_without_bytes_change_nothing() -> None:
    play = Play()
    play.ask(b"", GET, 0)
    assert play.answer(b"", OK, 0, b"hello") == [("GET /a 200", (len(GET), 0), (len(OK), 5))]
    assert play.parser.feed(Flow.REQUESTS, piece(-1, 5)) == []
