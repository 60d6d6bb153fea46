import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.server.tokens import Token


def test_nothing_is_asked_for_without_a_token() -> None:
    assert not Token()
    assert Token().admits(b"")
    assert Token().admits(b"any")


@given(st.text(min_size=1), st.binary())
def test_only_the_bytes_of_the_token_pass(text: str, given_bytes: bytes) -> None:
    token = Token(text)
    assert token
    assert token.admits(text.encode())
    assert token.admits(given_bytes) == (given_bytes == text.encode())
    assert not token.admits(b"")


def test_what_is_compared_has_one_length_whatever_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    token = Token("sesame")
    assert [token.admits(given_bytes) for given_bytes in (b"", b"s", b"sesame", b"s" * 10_000)] == [
        False,
        False,
        True,
        False,
    ]
    assert compared == [(32, 32)] * 4
