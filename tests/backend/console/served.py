"""The console with everything that it asks: the API and GraphQL, on a real server in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import h2corn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from backend.oal.loader import load
from backend.query.graphql.alarms import AlarmBook
from backend.query.graphql.routes import graphql_routes
from backend.query.graphql.telemetry import Telemetry
from backend.query.graphql.templates import FileTemplates
from backend.query.routes import routes
from backend.storage.interface import Storage
from tests.backend.query import world


@contextmanager
def serving(
    storage: Storage,
    *,
    port: int = 0,
    clock: Callable[[], float] = lambda: world.NOW,
    alarms: AlarmBook | None = None,
    registry: CollectorRegistry | None = None,
) -> Iterator[str]:
    """Serve a store while the block runs; gives HOST:PORT. Templates are kept as long."""
    counted = registry or CollectorRegistry()
    with TemporaryDirectory(prefix="pyrover-console-") as folder:
        asked = graphql_routes(
            storage,
            load(skip_unsupported=True).definitions,
            FileTemplates(Path(folder) / "templates.json"),
            telemetry=Telemetry(counted),
            alarms=alarms,
            clock=clock,
        )
        with served([*asked, *routes(storage, registry=counted, clock=clock)], port) as address:
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
