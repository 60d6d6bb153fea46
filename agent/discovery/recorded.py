"""The host's answers as they were recorded, and a host that gives them again."""

from collections.abc import Mapping, Sequence

import msgspec

from agent.conntrack.translation import Translation
from agent.discovery.host import Host, Interface, ProcessFacts, SocketScan


class ProcessAnswer(msgspec.Struct, frozen=True, tag="process"):
    """Answer of Host.process."""

    pid: int
    facts: ProcessFacts | None


class SocketInodeAnswer(msgspec.Struct, frozen=True, tag="socket_inode"):
    """Answer of Host.socket_inode."""

    pid: int
    descriptor: int
    inode: int | None


class SocketDescriptorsAnswer(msgspec.Struct, frozen=True, tag="socket_descriptors"):
    """Answer of Host.socket_descriptors."""

    pid: int
    inodes: dict[int, int] | None


class SocketsAnswer(msgspec.Struct, frozen=True, tag="sockets"):
    """Answer of Host.sockets."""

    scan: SocketScan


class InterfacesAnswer(msgspec.Struct, frozen=True, tag="interfaces"):
    """Answer of Host.interfaces."""

    interfaces: tuple[Interface, ...]


class AddressesAnswer(msgspec.Struct, frozen=True, tag="addresses"):
    """Answer of Host.addresses."""

    addresses: tuple[bytes, ...]


class TranslationsAnswer(msgspec.Struct, frozen=True, tag="translations"):
    """Answer of Host.translations."""

    translations: tuple[Translation, ...]


class NetworkNamespaceAnswer(msgspec.Struct, frozen=True, tag="network_namespace"):
    """Answer of Host.network_namespace."""

    inode: int


class InterfacesOfAnswer(msgspec.Struct, frozen=True, tag="interfaces_of"):
    """Answer of Host.interfaces_of."""

    namespace: int
    interfaces: tuple[Interface, ...] | None


class DropReasonsAnswer(msgspec.Struct, frozen=True, tag="drop_reasons"):
    """Answer of Host.drop_reasons."""

    names: dict[int, str]


class BootTimeAnswer(msgspec.Struct, frozen=True, tag="boot_time"):
    """Answer of Host.boot_time_ns."""

    nanoseconds: int


Answer = (
    TranslationsAnswer
    | ProcessAnswer
    | SocketInodeAnswer
    | SocketDescriptorsAnswer
    | SocketsAnswer
    | InterfacesAnswer
    | AddressesAnswer
    | NetworkNamespaceAnswer
    | InterfacesOfAnswer
    | DropReasonsAnswer
    | BootTimeAnswer
)


class RecordingHost:
    """Passes questions on to a host and keeps the answers until they are collected."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._answers: list[Answer] = []

    def collect(self) -> list[Answer]:
        """The answers since the last call, in order."""
        answers, self._answers = self._answers, []
        return answers

    def process(self, pid: int) -> ProcessFacts | None:
        """As Host.process."""
        facts = self._host.process(pid)
        self._answers.append(ProcessAnswer(pid, facts))
        return facts

    def socket_inode(self, pid: int, descriptor: int) -> int | None:
        """As Host.socket_inode."""
        inode = self._host.socket_inode(pid, descriptor)
        self._answers.append(SocketInodeAnswer(pid, descriptor, inode))
        return inode

    def socket_descriptors(self, pid: int) -> dict[int, int] | None:
        """As Host.socket_descriptors."""
        inodes = self._host.socket_descriptors(pid)
        self._answers.append(SocketDescriptorsAnswer(pid, inodes))
        return inodes

    def sockets(self) -> SocketScan:
        """As Host.sockets."""
        scan = self._host.sockets()
        self._answers.append(SocketsAnswer(scan))
        return scan

    def interfaces(self) -> tuple[Interface, ...]:
        """As Host.interfaces."""
        interfaces = self._host.interfaces()
        self._answers.append(InterfacesAnswer(interfaces))
        return interfaces

    def addresses(self) -> tuple[bytes, ...]:
        """As Host.addresses."""
        addresses = self._host.addresses()
        self._answers.append(AddressesAnswer(addresses))
        return addresses

    def network_namespace(self) -> int:
        """As Host.network_namespace."""
        inode = self._host.network_namespace()
        self._answers.append(NetworkNamespaceAnswer(inode))
        return inode

    def interfaces_of(self, namespace: int, process: int) -> tuple[Interface, ...] | None:
        """As Host.interfaces_of."""
        interfaces = self._host.interfaces_of(namespace, process)
        self._answers.append(InterfacesOfAnswer(namespace, interfaces))
        return interfaces

    def drop_reasons(self) -> Mapping[int, str]:
        """As Host.drop_reasons."""
        names = self._host.drop_reasons()
        self._answers.append(DropReasonsAnswer(dict(names)))
        return names

    def translations(self, namespaces: Mapping[int, int]) -> Sequence[Translation]:
        """As Host.translations. To have learned nothing is no answer: it is what most moments bring."""
        translations = self._host.translations(namespaces)
        if translations:
            self._answers.append(TranslationsAnswer(tuple(translations)))
        return translations

    def boot_time_ns(self) -> int:
        """As Host.boot_time_ns."""
        nanoseconds = self._host.boot_time_ns()
        self._answers.append(BootTimeAnswer(nanoseconds))
        return nanoseconds


class RecordedHost:
    """Gives the latest recorded answer to each question; what was never asked is not there."""

    def __init__(self) -> None:
        self._processes: dict[int, ProcessFacts | None] = {}
        self._inodes: dict[tuple[int, int], int | None] = {}
        self._descriptors: dict[int, dict[int, int] | None] = {}
        self._scan = SocketScan((), {})
        self._interfaces: tuple[Interface, ...] = ()
        self._addresses: tuple[bytes, ...] = ()
        self._network_namespace = 0
        self._interfaces_of: dict[int, tuple[Interface, ...] | None] = {}
        self._drop_reasons: dict[int, str] = {}
        self._translations: list[Translation] = []
        self._boot_time_ns = 0

    def apply(self, answer: Answer) -> None:  # noqa: C901 - a case for each question
        """Take an answer on, in place of an earlier one to the same question."""
        match answer:
            case ProcessAnswer():
                self._processes[answer.pid] = answer.facts
            case SocketInodeAnswer():
                self._inodes[answer.pid, answer.descriptor] = answer.inode
            case SocketDescriptorsAnswer():
                self._descriptors[answer.pid] = answer.inodes
            case SocketsAnswer():
                self._scan = answer.scan
            case InterfacesAnswer():
                self._interfaces = answer.interfaces
            case AddressesAnswer():
                self._addresses = answer.addresses
            case NetworkNamespaceAnswer():
                self._network_namespace = answer.inode
            case InterfacesOfAnswer():
                self._interfaces_of[answer.namespace] = answer.interfaces
            case DropReasonsAnswer():
                self._drop_reasons = answer.names
            case TranslationsAnswer():
                self._translations.extend(answer.translations)
            case BootTimeAnswer():
                self._boot_time_ns = answer.nanoseconds

    def process(self, pid: int) -> ProcessFacts | None:
        """As Host.process."""
        return self._processes.get(pid)

    def socket_inode(self, pid: int, descriptor: int) -> int | None:
        """As Host.socket_inode."""
        return self._inodes.get((pid, descriptor))

    def socket_descriptors(self, pid: int) -> dict[int, int] | None:
        """As Host.socket_descriptors."""
        return self._descriptors.get(pid)

    def sockets(self) -> SocketScan:
        """As Host.sockets."""
        return self._scan

    def interfaces(self) -> tuple[Interface, ...]:
        """As Host.interfaces."""
        return self._interfaces

    def addresses(self) -> tuple[bytes, ...]:
        """As Host.addresses."""
        return self._addresses

    def network_namespace(self) -> int:
        """As Host.network_namespace."""
        return self._network_namespace

    def interfaces_of(self, namespace: int, process: int) -> tuple[Interface, ...] | None:  # noqa: ARG002 - it is gone
        """As Host.interfaces_of."""
        return self._interfaces_of.get(namespace)

    def drop_reasons(self) -> Mapping[int, str]:
        """As Host.drop_reasons."""
        return self._drop_reasons

    def translations(self, namespaces: Mapping[int, int]) -> Sequence[Translation]:  # noqa: ARG002 - nobody listens
        """As Host.translations: each is learned once."""
        translations, self._translations = self._translations, []
        return translations

    def boot_time_ns(self) -> int:
        """As Host.boot_time_ns."""
        return self._boot_time_ns
