"""What is told, and what is not, of connections of which bytes are missing."""

from agent.protocols.exchange import Ended
from agent.protocols.http1_limits import Limits
from agent.protocols.http1_losses import Loss
from agent.protocols.waiting_room import WaitingRoom
from tests.agent.protocols.http1_playing import Play, Told
from tests.agent.protocols.http1_playing import told as told_of


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n".encode()


def ok(size: int = 0, status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} OK\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def lines(told: list[Told]) -> list[str]:
    return [exchange.line for exchange in told]


def works_on(play: Play) -> bool:
    """Whether the next exchange is told."""
    told = play.ask(get("/on")) + play.answer(ok(3, 203))
    return lines(told)[-1:] == ["GET /on 203"]


def test_a_connection_joined_in_a_response_begins_with_the_next_exchange() -> None:
    play = Play(joined=True)
    assert play.answer(b"of the body", 4_000, b"the end") == []
    assert play.ask(get("/a")) == []
    assert lines(play.answer(ok())) == ["GET /a 200"]
    assert not play.losses


def test_a_connection_joined_before_a_response_leaves_it_out() -> None:
    play = Play(joined=True)
    assert play.answer(ok(3)) == []
    assert works_on(play)
    assert play.losses == {Loss.RESPONSE_WITHOUT_REQUEST: 1}


def test_a_connection_joined_in_a_request_leaves_its_exchange_out() -> None:
    play = Play(joined=True)
    play.ask(b"the rest of an upload")
    play.answer(ok(3))
    assert works_on(play)
    assert play.losses == {Loss.RESPONSE_WITHOUT_REQUEST: 1}


def test_reading_begins_with_a_head_that_comes_in_several_calls() -> None:
    play = Play(joined=True)
    play.ask(b"GET /a HT", b"TP/1.1\r\n", b"\r\n")
    assert lines(play.answer(b"HTTP/1.1 200 ", b"OK\r\nContent-Length: 0\r\n\r\n")) == ["GET /a 200"]


def test_a_message_within_a_call_is_no_beginning() -> None:
    play = Play(joined=True)
    play.ask([b"end of a body", get("/a")], get("/b"))
    assert play.parser.is_busy
    assert play.losses == {}
    assert lines(play.answer(ok())) == []  # /a may have been sent with /b behind it
    assert play.losses == {Loss.PAIRING_AMBIGUOUS: 1}


def test_a_gap_in_a_requests_head() -> None:
    play = Play()
    play.ask([b"GET /a HTTP/1.1\r\nHost: sh", 10, b"\r\n\r\n"])
    play.answer(ok(3))
    assert play.losses == {Loss.REQUEST_HEAD_GAP: 1}
    assert works_on(play)
    assert play.losses == {Loss.REQUEST_HEAD_GAP: 1, Loss.RESPONSE_WITHOUT_REQUEST: 1}


def test_a_gap_in_a_responses_head() -> None:
    play = Play()
    play.ask(get("/a"))
    play.answer([b"HTTP/1.1 200 OK\r\nContent-L", 10, b"\r\n\r\n"], b"body", b"more")
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1}
    assert works_on(play)
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1, Loss.REQUEST_WITHOUT_RESPONSE: 1}


def test_an_exchange_that_is_missed_as_a_whole() -> None:
    play = Play()
    play.ask(50)
    play.answer(50)
    assert works_on(play)
    assert play.losses == {Loss.REQUEST_HEAD_GAP: 1, Loss.RESPONSE_HEAD_GAP: 1}


def test_a_gap_that_reaches_over_the_end_of_a_body() -> None:
    play = Play()
    play.ask(get("/a"))
    assert lines(play.answer([ok(3)[:-2], 5])) == ["GET /a 200"]
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1}
    assert works_on(play)


def test_a_response_behind_one_that_was_missed_may_be_another_requests() -> None:
    play = Play()
    play.ask(get("/a"))
    assert play.answer(25, ok()) == []  # that of a request that was missed, too, or the final one
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1, Loss.PAIRING_AMBIGUOUS: 1}
    assert works_on(play)


def test_calls_that_never_came_are_told_of_by_the_next_one() -> None:
    play = Play()
    play.ask(get("/a"))
    play.answer(ok())
    # /b and its response never came, which the next calls of either stream show.
    play.ask([len(get("/b")), get("/c")])
    play.answer([len(ok()), ok()])
    assert works_on(play)
    assert lines(list(map(told_of, play.exchanges))) == ["GET /a 200", "GET /on 203"]


def test_responses_are_not_given_to_the_wrong_one_of_several_requests() -> None:
    play = Play()
    play.ask(get("/a"), get("/b"))
    assert play.answer(45, ok(3)) == []  # the second response, or the first behind an interim one
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1, Loss.PAIRING_AMBIGUOUS: 2}
    assert works_on(play)


def test_a_response_is_not_given_to_a_request_behind_one_that_was_missed() -> None:
    play = Play()
    play.ask(40, get("/b"))
    assert play.answer(ok(3), ok(3)) == []
    assert play.losses == {Loss.REQUEST_HEAD_GAP: 1, Loss.PAIRING_AMBIGUOUS: 1}
    assert works_on(play)


def test_a_response_is_not_given_to_a_request_before_one_that_was_missed() -> None:
    play = Play()
    play.ask(get("/a"), 40)
    assert play.answer(45, ok(3)) == []
    assert works_on(play)


def test_a_response_is_its_requests_whatever_was_missed_behind_that() -> None:
    play = Play()
    play.ask(get("/a"), 40)
    assert lines(play.answer(ok())) == ["GET /a 200"]
    play.ask(get("/c"))
    assert play.answer(ok()) == []  # that of the request that was missed
    assert play.parser.ended is Ended.NOT_UNDERSTOOD


def test_requests_before_one_that_was_missed_keep_their_order() -> None:
    play = Play()
    play.ask(get("/a") + get("/b"))
    assert lines(play.answer(ok())) == ["GET /a 200"]
    play.ask(40)
    assert lines(play.answer(ok())) == ["GET /b 200"]
    play.ask(get("/d"))
    assert play.answer(ok()) == []  # that of the request that was missed
    assert play.parser.ended is Ended.NOT_UNDERSTOOD
    assert play.losses == {Loss.REQUEST_HEAD_GAP: 1, Loss.PAIRING_AMBIGUOUS: 1}


def test_requests_before_one_that_was_missed_lose_their_order_with_a_response() -> None:
    play = Play()
    play.ask(get("/a") + get("/b") + get("/c"), 40)
    assert lines(play.answer(ok())) == ["GET /a 200"]
    assert play.answer(45, ok()) == []
    assert play.losses == {Loss.REQUEST_HEAD_GAP: 1, Loss.RESPONSE_HEAD_GAP: 1, Loss.PAIRING_AMBIGUOUS: 2}
    assert play.parser.ended is Ended.NOT_UNDERSTOOD


def taken(play: Play, *turns: str) -> list[str]:
    """What is told of turns: requests with these paths, of a letter each, are sent, then answered."""
    told = []
    for paths in turns:
        told += play.ask(*(get(f"/{path}") for path in paths))
        told += play.answer(*[ok(3)] * len(paths))
    return lines(told)


def test_a_connection_that_takes_turns_begins_anew_with_the_next_one() -> None:
    """What is told of it waits for the one after that."""
    play = Play()
    assert taken(play, "ab", "c") == ["GET /a 200", "GET /b 200", "GET /c 200"]
    play.ask(get("/d"), get("/e"), get("/f"))
    assert lines(play.answer([ok(), 45], ok())) == ["GET /d 200"]
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1, Loss.PAIRING_AMBIGUOUS: 2}
    assert taken(play, "gh") == []
    assert taken(play, "i") == ["GET /g 200", "GET /h 200", "GET /i 200"]
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1, Loss.PAIRING_AMBIGUOUS: 2}


def test_a_turn_that_begins_anew_is_proved_by_the_end_of_the_connection() -> None:
    play = Play()
    taken(play, "ab", "c")
    play.ask(get("/d"), get("/e"))
    play.answer(45)
    assert taken(play, "fg") == []
    assert lines(play.end()) == ["GET /f 200", "GET /g 200"]
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1, Loss.REQUEST_WITHOUT_RESPONSE: 2}


def test_a_turn_that_begins_anew_and_is_not_answered_whole_is_not_told() -> None:
    """Its responses may have been those to requests before."""
    for goes_on in (True, False):
        play = Play()
        taken(play, "ab", "c")
        play.ask(get("/d"), get("/e"))
        play.answer(45)
        play.ask(get("/f"), get("/g"))
        play.answer(ok())
        told = play.ask(get("/h")) + play.answer(ok(), ok()) + play.ask(get("/i")) if goes_on else []
        # What begins after that has been shown to overlap is told by the order in which it comes, as ever.
        assert lines(told) == (["GET /g 200", "GET /h 200"] if goes_on else [])
        assert goes_on or play.end() == []
        lost = {Loss.RESPONSE_HEAD_GAP: 1, Loss.REQUEST_WITHOUT_RESPONSE: 2}
        assert play.losses == lost | {Loss.PAIRING_AMBIGUOUS: 1 if goes_on else 2}


def test_a_turn_that_begins_anew_and_is_answered_more_than_asked_is_not_told() -> None:
    play = Play()
    taken(play, "ab", "c")
    play.ask(get("/d"), get("/e"), get("/f"))
    play.answer(45)
    assert taken(play, "gh") == []
    play.answer(ok())
    assert play.ask(get("/i")) == []
    assert play.losses == {
        Loss.RESPONSE_HEAD_GAP: 1,
        Loss.REQUEST_WITHOUT_RESPONSE: 3,
        Loss.RESPONSE_WITHOUT_REQUEST: 1,
        Loss.PAIRING_AMBIGUOUS: 2,
    }


def test_a_turn_of_which_the_beginning_was_missed_does_not_begin_anew() -> None:
    play = Play()
    taken(play, "ab", "c")
    play.ask(get("/d"), get("/e"))
    play.answer(45)
    play.ask(31, get("/g"))
    assert play.answer(ok(), ok()) == []
    assert taken(play, "hi", "j") == ["GET /h 200", "GET /i 200", "GET /j 200"]


def test_a_connection_that_pipelines_is_given_up_once_a_response_was_missed() -> None:
    """Unless it has shown that it takes turns."""
    play = Play()
    play.ask(get("/a") + get("/b") + get("/c"))
    assert len(play.answer(ok() + ok())) == 2
    play.ask(get("/d"))
    assert play.answer(45, ok()) == []
    assert play.parser.ended is Ended.NOT_UNDERSTOOD
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1, Loss.PAIRING_AMBIGUOUS: 2}
    assert not play.parser.is_busy
    assert not works_on(play)


def test_a_request_whose_response_passed_unseen_has_no_status_0_at_the_end() -> None:
    play = Play()
    play.ask(get("/a"))
    play.answer(45)
    play.ask(get("/b"))
    assert lines(play.end()) == ["GET /b 0"]  # nothing passed after it
    assert play.losses == {Loss.RESPONSE_HEAD_GAP: 1, Loss.REQUEST_WITHOUT_RESPONSE: 1}


def test_bodies_whose_end_is_not_told() -> None:
    play = Play()
    play.ask(b"POST /a HTTP/1.1\r\nContent-Length: 4, 5\r\n\r\nbody")
    play.answer(ok(3, 400))
    assert works_on(play)
    play.ask(get("/b"))
    assert play.answer(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n") == []
    assert not play.parser.is_busy
    assert works_on(play)
    assert play.losses == {
        Loss.REQUEST_BODY_NOT_UNDERSTOOD: 1,
        Loss.RESPONSE_WITHOUT_REQUEST: 1,
        Loss.RESPONSE_BODY_NOT_UNDERSTOOD: 1,
    }


def test_a_chunked_response_with_gaps_ends_with_the_last_chunk_at_the_end_of_a_call() -> None:
    play = Play()
    play.ask(get("/a"))
    assert play.answer([CHUNKED + b"400\r\n" + b"x" * 100, 5_000, b"x" * 20 + b"\r\n0\r\n\r\n"]) == [
        ("GET /a 200", (len(get("/a")), 0), (len(CHUNKED), 5_120))
    ]
    assert play.losses == {Loss.CHUNKED_BODY_ESTIMATED: 1}
    assert works_on(play)


def test_a_chunked_response_whose_end_is_missed_ends_with_the_next_one() -> None:
    play = Play()
    play.ask(get("/a"))
    assert play.answer(CHUNKED + b"5\r\nhello\r\n", 100) == []
    play.ask(get("/b"))
    assert lines(play.answer(ok(status=201))) == ["GET /a 200", "GET /b 201"]


def test_a_response_missed_as_a_part_of_an_estimated_one() -> None:
    play = Play()
    play.ask(get("/a"))
    play.answer(CHUNKED + b"5\r\nhello\r\n", 100)
    play.ask(get("/b"))
    play.answer(45)
    assert lines(play.answer(ok())) == ["GET /a 200"]
    assert play.losses == {Loss.CHUNKED_BODY_ESTIMATED: 1, Loss.PAIRING_AMBIGUOUS: 1}
    assert works_on(play)


def test_a_chunked_request_with_gaps_is_told_with_its_response() -> None:
    post = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    play = Play()
    play.ask(post + b"5\r\nhello\r\n", 100)
    assert play.answer(ok()) == [("POST /a 200", (len(post), 105), (len(ok()), 0))]
    play.ask(b"more", b"0\r\n\r\n")
    assert play.exchanges[0].request.body_bytes == 105  # what was told stays as it was
    assert works_on(play)


def test_a_response_is_not_given_to_a_request_that_may_hide_others() -> None:
    play = Play()
    play.ask(b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 100)
    play.answer(40)
    assert play.answer(ok()) == []
    assert play.losses == {
        Loss.CHUNKED_BODY_ESTIMATED: 1,
        Loss.RESPONSE_HEAD_GAP: 1,
        Loss.PAIRING_AMBIGUOUS: 1,
    }


def test_empty_lines_before_messages_are_passed() -> None:
    play = Play()
    play.ask(b"\r\n", b"\r\n\n" + get("/a"))
    assert play.answer(b"\r\n" + ok()) == [("GET /a 200", (len(get("/a")), 0), (len(ok()), 0))]
    assert (play.exchanges[0].request.first_ns, play.losses) == (20, {})


def test_a_head_over_the_limit_is_counted_and_passed() -> None:
    play = Play(limits=Limits(head_bytes=1_000))
    for calls in ([get("/" + "x" * 1_000)], [b"GET /", *[b"x" * 100] * 11]):
        play.ask(*calls)
        play.answer(ok(3, 431))
        assert works_on(play)
    play.ask(get("/a"))
    play.answer(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1_000)
    assert works_on(play)
    assert play.losses[Loss.REQUEST_HEAD_TOO_LONG] == 2
    assert play.losses[Loss.RESPONSE_HEAD_TOO_LONG] == 1


def test_a_head_within_the_limit_is_read() -> None:
    play = Play()
    head = b"GET /a HTTP/1.1\r\nCookie: " + b"x" * 65_000 + b"\r\n\r\n"
    play.ask(head[:30_000], head[30_000:])
    assert play.answer(ok()) == [("GET /a 200", (len(head), 0), (len(ok()), 0))]


def test_requests_that_nobody_answers_make_room() -> None:
    play = Play(limits=Limits(waiting_requests=3))
    play.ask(*[get(f"/{number}") for number in range(5)])
    assert play.losses == {Loss.REQUESTS_WAITING: 2}
    assert play.answer(ok()) == []  # the first one's, which is not known any more
    assert play.losses == {Loss.REQUESTS_WAITING: 2, Loss.PAIRING_AMBIGUOUS: 3}
    assert works_on(play)


def test_requests_that_wait_share_places_with_those_of_other_connections() -> None:
    room = WaitingRoom(6)
    limits = Limits(waiting_requests=3, most_waiting=9)
    plays = [Play(limits=limits, room=room) for _ in range(2)]
    plays[0].ask(*[get(f"/{number}") for number in range(6)])
    plays[1].ask(*[get(f"/{number}") for number in range(6)])
    assert (room.free, plays[0].losses, plays[1].losses) == (0, {}, {})
    plays[1].ask(get("/7"))  # as many as one connection may have, but none is left
    assert plays[1].losses == {Loss.REQUESTS_WAITING: 1}
    assert len(plays[0].answer(*[ok()] * 6)) == 6
    assert room.free == 3
    plays[0].ask(*[get(f"/{number}") for number in range(6)])
    plays[0].parser.forget()
    assert room.free == 3
    plays[1].end()
    assert room.free == 6


def test_of_shared_places_a_connection_has_some_at_most() -> None:
    room = WaitingRoom(100)
    play = Play(limits=Limits(waiting_requests=3, most_waiting=9), room=room)
    play.ask(*[get(f"/{number}") for number in range(10)])
    assert (room.free, play.losses) == (94, {Loss.REQUESTS_WAITING: 1})


def test_a_pipeline_of_thousands_is_told_whole() -> None:
    play = Play(room=WaitingRoom())
    play.ask(b"".join(get(f"/{number}") for number in range(8_192)))
    told = lines(play.answer(*[b"".join([ok(number % 9, 210 + number % 80) for number in range(8_192)])]))
    assert told == [f"GET /{number} {210 + number % 80}" for number in range(8_192)]
    assert not play.losses


def test_garbage_ends_the_reading_after_some_turns() -> None:
    play = Play()
    for turn in range(4):
        assert play.parser.ended is None, turn
        (play.ask if turn % 2 == 0 else play.answer)(b"\x16\x03\x01 garbage")
    assert play.parser.ended is Ended.NOT_UNDERSTOOD
    assert not works_on(play)


def test_calls_of_one_turn_are_one_failure_and_a_message_forgives_them() -> None:
    play = Play()
    for _ in range(10):
        play.ask(*[b"\x00garbage"] * 3)
        play.answer(b"\x00garbage", b"\x00garbage")
        assert works_on(play)
    assert play.parser.ended is None


def test_a_stream_of_which_nothing_is_understood_is_given_up_within_a_turn() -> None:
    play = Play(joined=True, limits=Limits(failed_calls=100))
    play.answer(*[b"garbage"] * 99)
    assert play.parser.ended is None
    play.answer(b"garbage")
    assert play.parser.ended is Ended.NOT_UNDERSTOOD


def test_what_is_under_way_when_a_connection_is_given_up_is_counted() -> None:
    play = Play()
    play.ask(get("/a"), b"\x00")
    play.answer(b"\x00")
    play.ask(b"\x00")
    play.answer(b"\x00")
    assert play.parser.ended is Ended.NOT_UNDERSTOOD
    assert play.losses[Loss.GIVEN_UP] == 1
