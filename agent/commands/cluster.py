"""The cluster that this host is a node of, while the agent runs."""

import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.config import Configuration
from agent.config_discovery import analyzers
from agent.discovery.kubernetes.analyzers import Analyzers
from agent.discovery.kubernetes.book import PodBook
from agent.discovery.kubernetes.members import Rover
from agent.discovery.kubernetes.names import PodNames, Wanted
from agent.discovery.readable import readable


@contextmanager
def open_cluster(configuration: Configuration, run: str) -> Iterator[PodNames | None]:
    """Follow the API server meanwhile, to name processes by their pods; None when the configuration has it off.

    Args:
        configuration: How.
        run: An id of this run of the agent.

    Raises:
        ValueError: the API server cannot be asked; the message says why.
    """
    settings = configuration.process_discovery
    if not settings.kubernetes.active:
        yield None
        return
    from agent.discovery.kubernetes.following import following, open_access  # noqa: PLC0415 - takes 4 MB where it is not needed

    access, book = open_access(settings.kubernetes.kubeconfig), PodBook()
    with following(access, kubernetes_node(configuration), book):
        yield make_names(configuration, book, run)


def kubernetes_node(configuration: Configuration) -> str:
    """What the cluster calls this host."""
    return configuration.process_discovery.kubernetes.node_name or configuration.node.name or socket.gethostname()


def make_names(configuration: Configuration, book: PodBook, run: str) -> PodNames:
    """What names processes by the pods of a book.

    Args:
        configuration: How.
        book: The pods.
        run: An id of this run of the agent.
    """
    settings, told = configuration.process_discovery.kubernetes, configuration.access_log

    def work_folder(pid: int) -> str:
        with suppress(OSError):
            return readable(str((Path(configuration.discovery.proc) / str(pid) / "cwd").readlink()))
        return ""

    return PodNames(
        book,
        Analyzers(analyzers(settings), configuration.core.cluster_name, Counter()),
        Rover(run, socket.gethostname(), work_folder),
        Wanted(
            _names(settings.namespaces),
            _names(told.exclude_namespaces),
            _names(told.exclude_cluster),
            settings.host_processes,
        ),
        os.getpid(),
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())
