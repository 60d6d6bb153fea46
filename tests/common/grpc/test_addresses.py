import socket
import threading

import pytest

from common.grpc.addresses import Address, Resolver, Target, read_addresses
from common.grpc.patience import Expired, Interrupted, Interrupter, Patience
from tests.waiting import PATIENCE

REAL = socket.getaddrinfo


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("localhost:11800", "localhost", 11800),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
        ("_oap._tcp.example-1:443", "_oap._tcp.example-1", 443),
    ],
)
def test_targets(text: str, host: str, port: int) -> None:
    assert Target.parse(text) == Target(host, port)


@pytest.mark.parametrize(
    "text",
    ["", "localhost", ":80", "localhost:", "localhost:0", "localhost:65536", "::1:80", "a b:80", "dns:///a:80", "ä:80"],
)
def test_what_is_no_target_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT") as caught:
        Target.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:80"])
def test_a_number_needs_no_lookup_and_no_thread(text: str) -> None:
    with Interrupter() as interrupter:
        before = set(threading.enumerate())
        (address,) = Resolver(Target.parse(text), interrupter).resolve(Patience(0, interrupter))
        assert set(threading.enumerate()) <= before
    interrupter.close()
    assert str(address) == text


def test_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", _named(lambda: answers))
    with Interrupter() as interrupter:
        addresses = Resolver(Target("name", 80), interrupter).resolve(Patience(PATIENCE, interrupter))
    interrupter.close()
    assert addresses == [Address(socket.AF_INET6, ("::1", 80, 0, 0)), Address(socket.AF_INET, ("127.0.0.1", 80))]
    assert list(map(str, addresses)) == ["[::1]:80", "127.0.0.1:80"]


@pytest.mark.parametrize("host", ["no-such-name.invalid", "a" * 64 + ".invalid", "a..b"])
def test_a_name_without_addresses(host: str) -> None:
    with Interrupter() as interrupter, pytest.raises(OSError, match=r"\w") as caught:
        Resolver(Target(host, 80), interrupter).resolve(Patience(PATIENCE, interrupter))
    interrupter.close()
    assert caught.value.strerror


def test_a_lookup_that_hangs_is_given_up_and_its_answer_used_when_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    go, asked = threading.Event(), []

    def hang() -> list[object]:
        asked.append(threading.current_thread())
        assert go.wait(PATIENCE)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", _named(hang))
    interrupter = Interrupter()
    resolver = Resolver(Target("name", 80), interrupter)
    with interrupter, pytest.raises(Expired, match="looking up name"):
        resolver.resolve(Patience(0.05, interrupter))
    with interrupter:
        interrupter.interrupt()
        with pytest.raises(Interrupted):
            resolver.resolve(Patience(PATIENCE, interrupter))
    threading.Timer(0.05, go.set).start()
    with interrupter:
        assert list(map(str, resolver.resolve(Patience(PATIENCE, interrupter)))) == ["127.0.0.1:80"]
    assert len(asked) == 1
    asked[0].join()
    interrupter.close()


def test_an_answer_that_comes_after_the_end_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    go, asked = threading.Event(), []

    def hang() -> list[object]:
        asked.append(threading.current_thread())
        assert go.wait(PATIENCE)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", _named(hang))
    interrupter = Interrupter()
    with interrupter, pytest.raises(Expired):
        Resolver(Target("name", 80), interrupter).resolve(Patience(0.05, interrupter))
    interrupter.close()
    go.set()
    asked[0].join()


def _named(answer: object) -> object:
    """getaddrinfo that knows numbers as the real one does, and answers for names."""

    def lookup(host: bytes, port: int, *, type: int, flags: int) -> object:  # noqa: A002 - as the real one
        return REAL(host, port, type=type, flags=flags) if flags else answer()  # type: ignore[operator] # a function

    return lookup


@pytest.mark.parametrize(
    ("text", "addresses"),
    [("a:1", ["a:1"]), (" a:1 ,b:2,, [::1]:3 ,a:1,", ["a:1", "b:2", "[::1]:3"])],
)
def test_lists_of_servers(text: str, addresses: list[str]) -> None:
    assert read_addresses(text) == addresses
