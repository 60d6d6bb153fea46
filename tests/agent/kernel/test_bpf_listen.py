"""bpf/listen.c, and the end of listeners in bpf/close.c, on the running kernel."""

import pytest

from agent.events.layout import EventFlag, EventKind, Role
from tests.agent.kernel.watching import Watch, address

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_listener_is_told_when_it_begins_and_with_its_last_descriptor(watch: Watch, host: str) -> None:
    run = watch.run("listeners", host=host)
    anywhere = {"127.0.0.1": "0.0.0.0", "::1": "::"}[host]
    assert len(run.of(EventKind.LISTEN)) == len(run.of(EventKind.LISTEN_END)) == 2
    for name, bound in (("chosen", host), ("automatic", anywhere)):
        described = run.result[name]
        begun, ended = run.of_socket(described["inode"])
        assert (begun["kind"], ended["kind"]) == (EventKind.LISTEN, EventKind.LISTEN_END)
        for event in (begun, ended):
            assert (address(event["local_address"]), event["local_port"]) == (bound, described["local"][1])
            assert (event["remote_port"], event["role"], event["result"]) == (0, Role.SERVER, 0)
            assert event["end_ns"] >= event["start_ns"] > 0
        assert begun["descriptor"] == described["descriptor"]
        assert ended["flags"] == EventFlag.LAST_REFERENCE
