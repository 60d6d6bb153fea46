"""Names that people give to addresses, in a file.

Such a file holds addresses or networks, each with the name of a service, or with a service and an instance:

    10.20.0.0/16: warehouse
    192.0.2.7: {service: payments, instance: payments-1}
    "2001:db8::/32": partner

Of several networks that hold an address, the smallest one counts.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final

from backend.entities.resolution import UNKNOWN, End
from backend.ingest.batch import Node
from common.kubernetes.addresses import packed
from common.yaml_file import YamlFileError, read_mapping

EXAMPLE: Final = "10.20.0.0/16: warehouse"
MAXIMUM_NAMES: Final = 10_000
_KEYS: Final = frozenset(("service", "instance"))
_BITS_OF_A_BYTE: Final = 8


class NameTable:
    """Names by network. Never changes."""

    def __init__(self, names: Mapping[IPv4Network | IPv6Network, End]) -> None:
        self._names: dict[tuple[int, int, int], End] = {}
        """By bytes of an address, length of a prefix in bits, and the prefix as a number."""
        lengths: dict[int, set[int]] = {}
        for network, end in names.items():
            size = network.max_prefixlen // _BITS_OF_A_BYTE
            host_bits = network.max_prefixlen - network.prefixlen
            self._names[size, network.prefixlen, int(network.network_address) >> host_bits] = end
            lengths.setdefault(size, set()).add(network.prefixlen)
        # At most 33 and 129 of them: what an address costs does not grow with the table.
        self._lengths = {size: sorted(found, reverse=True) for size, found in lengths.items()}

    def __len__(self) -> int:
        return len(self._names)

    def find(self, address: bytes) -> End | None:
        """The name of the smallest network that holds an address."""
        number, size = int.from_bytes(address), len(address)
        for length in self._lengths.get(size, ()):
            end = self._names.get((size, length, number >> size * _BITS_OF_A_BYTE - length))
            if end is not None:
                return end
        return None


def read_names(path: Path) -> NameTable:
    """The names in a file.

    Raises:
        YamlFileError: it cannot be used; the message says what is wrong with which entry.
    """
    content = read_mapping(path, EXAMPLE)
    if len(content) > MAXIMUM_NAMES:
        raise YamlFileError(
            f"{path}: has {len(content):,} entries; {MAXIMUM_NAMES:,} are the most: name larger networks"
        )
    names: dict[IPv4Network | IPv6Network, End] = {}
    for key, value in content.items():
        network = _network(path, key)
        if network in names:
            raise YamlFileError(f"{path}: {key}: names {network} for the second time; leave one of them out")
        names[network] = _end(path, key, value)
    return NameTable(names)


class NameBook:
    """Names addresses by a table that may be replaced. Asked from one thread.

    Attributes:
        version: as AddressBook.version.
        misses: how often there was no answer.
    """

    def __init__(self, table: NameTable | None = None) -> None:
        self.version = 0
        self.misses = 0
        self._table = table or NameTable({})

    def __len__(self) -> int:
        return len(self._table)

    def replace(self, table: NameTable) -> None:
        """Answer by another table from now on."""
        self._table = table
        self.version += 1

    def find(self, host: str, port: int, node: Node, minute: int) -> End | None:  # noqa: ARG002 - the interface of AddressBook
        """As AddressBook.find. Names are taken as they are written, at all times."""
        address = packed(host)
        found = self._table.find(address) if address is not None else None
        self.misses += found is None
        return found


def _network(path: Path, key: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(key))
    except ValueError as error:
        raise YamlFileError(f"{path}: {key}: must be an address or a network, as in '{EXAMPLE}': {error}") from error


def _end(path: Path, key: object, value: Any) -> End:  # noqa: ANN401 - whatever stands in the file
    if isinstance(value, str):
        value = {"service": value}
    if (
        not isinstance(value, dict)
        or not set(value) <= _KEYS
        or not all(isinstance(text, str) for text in value.values())
    ):
        raise YamlFileError(f"{path}: {key}: must have a name, or 'service' and 'instance', as in '{EXAMPLE}'")
    service = value.get("service", "").strip()
    if not service or service == UNKNOWN:
        raise YamlFileError(f"{path}: {key}: must name a service, and not {UNKNOWN!r}, as in '{EXAMPLE}'")
    return End(service, value.get("instance", "").strip())
