from hypothesis import given
from hypothesis import strategies as st

from agent.discovery import interfaces as module
from agent.discovery.host import Interface
from agent.discovery.interfaces import FIRST_NUMBER, NodeInterfaces
from tests.agent.synthetic import SECOND, FakeHost

OWN, POD, OTHER = 1, 7, 8
LO = Interface(1, 65536, "lo")


def _node(**namespaces: tuple[Interface, ...]) -> tuple[FakeHost, NodeInterfaces]:
    host = FakeHost()
    host.namespace_interfaces = {{"pod": POD, "other": OTHER}[name]: found for name, found in namespaces.items()}
    node = NodeInterfaces(host)
    node.begin(SECOND)
    return host, node


def test_the_hosts_own_interfaces_keep_their_index_and_are_always_listed() -> None:
    host, node = _node()
    assert [node.number(OWN, index, 5) for index in (1, 4)] == [1, 4]
    assert node.listed() == (LO,)
    assert host.asked == []


def test_interfaces_of_other_namespaces_have_numbers_of_their_own_and_their_names() -> None:
    eth0, other = Interface(2, 1400, "eth0"), Interface(2, 1500, "ens1")
    _, node = _node(pod=(LO, eth0), other=(other,))
    numbers = [node.number(POD, 2, 5), node.number(OTHER, 2, 6), node.number(POD, 1, 5), node.number(POD, 2, 5)]
    assert numbers == [FIRST_NUMBER, FIRST_NUMBER + 1, FIRST_NUMBER + 2, FIRST_NUMBER]
    assert node.listed() == (
        LO,
        Interface(FIRST_NUMBER, 1400, "eth0"),
        Interface(FIRST_NUMBER + 1, 1500, "ens1"),
        Interface(FIRST_NUMBER + 2, 65536, "lo"),
    )


def test_only_what_a_flush_uses_is_listed() -> None:
    _, node = _node(pod=(LO, Interface(2, 1400, "eth0")))
    number = node.number(POD, 2, 5)
    node.begin(2 * SECOND)
    assert node.listed() == (LO,)
    assert node.number(POD, 2, 5) == number
    assert len(node.listed()) == 2


def test_an_interface_whose_name_is_not_known_has_a_number_and_is_not_listed() -> None:
    host, node = _node()
    number = node.number(POD, 2, 5)
    assert number >= FIRST_NUMBER
    assert node.listed() == (LO,)
    host.namespace_interfaces[POD] = (Interface(2, 1500, "eth0"),)
    node.begin(3 * SECOND)
    assert node.number(POD, 2, 5) == number
    assert node.listed()[1:] == (Interface(number, 1500, "eth0"),)


def test_names_are_read_again_when_one_is_missing_and_now_and_then() -> None:
    host, node = _node(pod=(Interface(2, 1500, "eth0"),))
    read_at = []
    for second in range(1, 130):
        host.asked.clear()
        node.begin(second * SECOND)
        node.number(POD, 2, 5)
        if second in (10, 11, 12, 13):
            node.number(POD, 3, 5)  # a new one, which the host does not show yet
        read_at += [second] * len(host.asked)
    assert read_at == [1, 10, 12, 72]
    host.namespace_interfaces[POD] = (Interface(2, 1500, "renamed"),)
    node.begin(133 * SECOND)
    number = node.number(POD, 2, 5)
    assert node.listed()[1:] == (Interface(number, 1500, "renamed"),)


def test_names_stay_when_the_last_process_of_a_namespace_has_gone() -> None:
    host, node = _node(pod=(Interface(2, 1500, "eth0"),))
    number = node.number(POD, 2, 5)
    host.namespace_interfaces.clear()
    node.begin(100 * SECOND)
    node.number(POD, 2, 5)
    assert node.listed()[1:] == (Interface(number, 1500, "eth0"),)


def test_a_flush_reads_a_few_namespaces_and_the_next_one_others() -> None:
    host, node = _node()
    for namespace in range(10, 20):
        host.namespace_interfaces[namespace] = (Interface(2, 1500, f"eth{namespace}"),)
    listed = []
    for second in (1, 2, 3):
        node.begin(second * SECOND)
        for namespace in range(10, 20):
            node.number(namespace, 2, 5)
        listed.append(len(node.listed()) - 1)
    assert listed == [4, 8, 10]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), max_size=60), st.integers(1, 6))
def test_numbers_are_unique_bounded_and_never_given_again(pairs: list[tuple[int, int]], most: int) -> None:
    before, module._MOST = module._MOST, most
    try:
        _, node = _node()
        owners: dict[int, tuple[int, int]] = {}
        for namespace, index in pairs:
            number = node.number(namespace, index, 5)
            assert owners.setdefault(number, (namespace, index)) == (namespace, index)
            assert len(node._numbers) <= most
            assert len(node._namespaces) <= most
    finally:
        module._MOST = before
