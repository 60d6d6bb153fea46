"""What connections and calls are named after: address books, rules that group endpoints, and limits of names."""

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from backend.entities.addresses.chain import AddressBookChain
from backend.entities.addresses.cluster import WatchedCluster
from backend.entities.addresses.hosts import HostBook
from backend.entities.addresses.kubernetes_book import KubernetesBook
from backend.entities.addresses.table import NameBook, NameTable, read_names
from backend.entities.grouping import Grouping
from backend.entities.grouping_rules import GroupingError, GroupingRules, load_rules
from backend.entities.resolution import AddressBook, Resolver
from backend.server.naming_telemetry import NamingCollector
from backend.server.reloading import Part
from backend.server.settings import Kubernetes, Settings, SettingsError
from common.kubernetes.access import Access, AccessError, in_cluster
from common.kubernetes.kubeconfig import from_kubeconfig
from common.yaml_file import YamlFileError

_IN_A_POD = "KUBERNETES_SERVICE_HOST"

_logger = logging.getLogger(__name__)


class Naming:
    """Names, and what keeps them up to date while the block runs.

    Address books are asked in this order: the cluster, hosts that agents run on, the table of a file.

    Args:
        settings: Where names come from.
        environment: Variables by which a pod finds the API server.

    Raises:
        SettingsError: A file cannot be used, or the API server cannot be asked.

    Attributes:
        resolver: Says what a connection counts for.
        cluster: The cluster that is watched; None where none is.
        hosts: Hosts that agents run on.
        table: Names that people gave.
        books: All of them together.
    """

    def __init__(self, settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._running = ExitStack()
        excluded = frozenset(settings.entities.excluded_namespaces)
        try:
            self.table = NameBook(self._load_table())
            grouping = self._load_grouping()
            access = _access(settings.kubernetes, environment)
        except (GroupingError, YamlFileError, AccessError) as error:
            raise SettingsError(str(error)) from error
        self.hosts = HostBook()
        books: list[AddressBook] = [self.hosts, self.table]
        self.cluster: WatchedCluster | None = None
        self._cluster_book: KubernetesBook | None = None
        if access is not None:
            self.cluster = WatchedCluster(access)
            self._cluster_book = KubernetesBook(
                self.cluster.index, cluster=settings.kubernetes.cluster, excluded_namespaces=excluded
            )
            books.insert(0, self._cluster_book)
        self.books = AddressBookChain(books)
        self.resolver = Resolver(
            self.books,
            settings.name_limits,
            excluded_namespaces=excluded,
            ignore_same_service=settings.entities.ignore_same_service,
            grouping=grouping,
        )

    def collector(self) -> NamingCollector:
        """What is counted of it."""
        return NamingCollector(self.books, self.hosts, self.table, self.cluster, self._cluster_book)

    def parts(self) -> list[Part[Any]]:
        """What can be read again while the backend runs: those for which there are files."""
        files = self._settings.files
        parts: list[Part[Any]] = []
        if files.endpoint_groups:
            parts.append(Part("endpoint groups", self._load_grouping, self._use_grouping, (GroupingError,)))
        if files.addresses:
            parts.append(Part("addresses", self._load_table, self._use_table, (YamlFileError,)))
        return parts

    def _load_grouping(self) -> Grouping:
        file = self._settings.files.endpoint_groups
        return Grouping(load_rules(Path(file)) if file else GroupingRules())

    def _use_grouping(self, grouping: Grouping) -> str:
        self.resolver.use(grouping)
        return f"{sum(map(len, grouping.rules.by_service.values()))} rules"

    def _load_table(self) -> NameTable:
        file = self._settings.files.addresses
        return read_names(Path(file)) if file else NameTable({})

    def _use_table(self, table: NameTable) -> str:
        self.table.replace(table)
        return f"{len(table)} addresses and networks"

    async def __aenter__(self) -> Self:
        if self.cluster is not None:
            self._running.enter_context(self.cluster)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._running.close)


def _access(settings: Kubernetes, environment: Mapping[str, str]) -> Access | None:
    """How the API server is asked; None when it is not."""
    if settings.watch == "never":
        return None
    if settings.kubeconfig:
        return from_kubeconfig([Path(settings.kubeconfig)], settings.context)
    if settings.watch == "auto" and _IN_A_POD not in environment:
        return None
    try:
        return in_cluster(environment)
    except AccessError as error:
        if settings.watch == "always":
            raise
        _logger.warning("the cluster that this pod is in is not watched: %s", error)
        return None
