"""Following the API server: what runs on this node, and the services of the cluster."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.discovery.kubernetes.book import PodBook
from agent.discovery.kubernetes.objects import pods_of
from common.kubernetes.access import Access, AccessError, in_cluster
from common.kubernetes.kubeconfig import from_kubeconfig
from common.kubernetes.resources import SERVICES
from common.kubernetes.watch import Watch, WatchSettings

_STEP_SECONDS = 0.02


def open_access(kubeconfig: str) -> Access:
    """How to ask: by a kubeconfig file, or as the pod that this program is in when that is empty.

    Raises:
        ValueError: neither is possible; the message says why.
    """
    try:
        return from_kubeconfig([Path(kubeconfig)]) if kubeconfig else in_cluster()
    except AccessError as error:
        raise ValueError(str(error)) from error


@contextmanager
def following(
    access: Access, node: str, book: PodBook, settings: WatchSettings | None = None, *, seconds: float = 10.0
) -> Iterator[None]:
    """Keep a book up to date meanwhile; begins when everything was told once, or after that many seconds.

    Raises:
        ValueError: a node cannot be called that.
    """
    watches = (
        Watch(pods_of(node), access, book.pods, settings),
        Watch(SERVICES, access, book.services, settings),
    )
    try:
        for watch in watches:
            watch.start()
        until = time.monotonic() + seconds
        while not book.is_complete and time.monotonic() < until:
            time.sleep(_STEP_SECONDS)
        yield
    finally:
        for watch in watches:
            watch.end()
        for watch in watches:
            watch.stop()
