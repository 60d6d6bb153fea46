"""Proxies that clients ask: tunnels (CONNECT) to servers with TLS and without, requests by whole targets."""

from functools import partial

import pytest

from tests.e2e.http import proxies
from tests.e2e.http.calls import calls
from tests.e2e.http.conftest import CheckLegs

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("kind", proxies.SECURE)
def test_tunnels_to_tls(kind: str, check_legs: CheckLegs) -> None:
    check_legs(partial(proxies.tunnels_to_tls, kind, calls()))


def test_tunnels_to_plain_text(check_legs: CheckLegs) -> None:
    check_legs(partial(proxies.tunnels_to_plain_text, calls()))


def test_a_tunnel_that_is_refused(check_legs: CheckLegs) -> None:
    check_legs(proxies.refused_tunnels)


def test_whole_targets(check_legs: CheckLegs) -> None:
    check_legs(partial(proxies.whole_targets, calls()))
