from agent.discovery.drops import DropReasons
from tests.agent.synthetic import FakeHost


def test_names_are_asked_for_once_and_only_when_something_was_dropped() -> None:
    host = FakeHost()
    reasons = DropReasons(host)
    assert host.asked == []
    assert [reasons.name(reason) for reason in (11, 99, 2)] == ["NETFILTER_DROP", "REASON_99", "NOT_SPECIFIED"]
    assert host.asked == ["drop_reasons"]
    host.drop_names = {}
    unnamed = DropReasons(host)
    assert [unnamed.name(reason) for reason in (11, 2)] == ["REASON_11", "REASON_2"]
    assert host.asked == ["drop_reasons"] * 2
