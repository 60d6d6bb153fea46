"""For which request a thread makes a call: known only where it can be no other."""

from agent.protocols.callers import SERVED_AT_ONCE, SERVING_THREADS, Callers
from agent.protocols.exchange import Exchange, Version


def serving(path: str) -> Exchange:
    return Exchange(Version.HTTP1, "GET", path)


def test_a_thread_calls_for_the_request_that_it_serves() -> None:
    callers = Callers()
    assert callers.caller(1, 10) == ""
    request = serving("/orders")
    callers.serve(1, 10, request)
    assert callers.caller(1, 10) == "GET:/orders"
    assert callers.caller(1, 11) == ""
    assert callers.caller(2, 10) == ""
    callers.served(1, 10, request)
    assert callers.caller(1, 10) == ""


def test_of_two_requests_at_once_neither_is_named() -> None:
    callers = Callers()
    one, other = serving("/one"), serving("/other")
    callers.serve(1, 10, one)
    callers.serve(1, 10, other)
    assert callers.caller(1, 10) == ""
    assert callers.ambiguous == 1
    callers.served(1, 10, one)
    assert callers.caller(1, 10) == "GET:/other"


def test_requests_that_are_equal_are_still_two() -> None:
    callers = Callers()
    one, other = serving("/"), serving("/")
    callers.serve(1, 10, one)
    callers.serve(1, 10, other)
    callers.served(1, 10, other)
    assert callers.caller(1, 10) == "GET:/"
    callers.served(1, 10, one)
    assert callers.caller(1, 10) == ""


def test_both_bounds_hold() -> None:
    callers = Callers()
    many = [serving(f"/{number}") for number in range(SERVED_AT_ONCE + 5)]
    for request in many:
        callers.serve(1, 10, request)
    for request in many[5:]:
        callers.served(1, 10, request)
    assert callers.caller(1, 10) == ""
    for thread in range(SERVING_THREADS + 1):
        callers.serve(2, thread, serving("/x"))
    assert callers.caller(2, 0) == ""
    assert callers.caller(2, 1) == "GET:/x"
