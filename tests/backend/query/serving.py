"""A real server for tests, in a thread of its own, on a port that was free."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import h2corn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from backend.query.routes import routes
from backend.storage.interface import Storage
from tests.backend.query import world


@contextmanager
def serving(
    storage: Storage,
    *,
    port: int = 0,
    clock: Callable[[], float] = lambda: world.NOW,
    registry: CollectorRegistry | None = None,
) -> Iterator[str]:
    """Serve the API while the block runs; gives HOST:PORT."""
    with served(routes(storage, registry=registry or CollectorRegistry(), clock=clock), port) as address:
        yield address


@contextmanager
def served(listed: Sequence[BaseRoute], port: int = 0) -> Iterator[str]:
    """Serve routes while the block runs; gives HOST:PORT."""
    server = h2corn.Server(Starlette(routes=list(listed)), h2corn.Config(bind=(f"127.0.0.1:{port}",), access_log=False))
    started = threading.Event()
    failures: list[BaseException] = []

    async def serve() -> None:
        running = asyncio.create_task(server.serve())
        waiting = asyncio.create_task(server.wait_started())
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        started.set()
        await waiting
        await running

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as failure:  # noqa: BLE001 - told to the test
            failures.append(failure)
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        started.wait()
        if failures:
            raise failures[0]
        yield server.addresses[0].removeprefix("http://")
    finally:
        server.shutdown()
        thread.join()
