"""The whole backend: receiver, analysis, store and answers, from start to a clean end."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from backend.entities.names import NameLimits
from backend.entities.resolution import Resolver
from backend.ingest.budget import Budget
from backend.ingest.warm import warm
from backend.metrics.pipeline import Pipeline, PipelineSettings
from backend.metrics.telemetry import Telemetry
from backend.oal.loader import Metrics, load
from backend.query.routes import routes
from backend.server.access_logs import PATH, AccessLogService
from backend.server.application import BackendApplication
from backend.server.companions import HANDLERS
from backend.server.readiness import Readiness
from backend.server.serving import Listener, serving
from backend.server.settings import Settings
from backend.server.telemetry import ReceiverCollector, metrics_route
from backend.storage.duckdb import DuckdbStorage

STORE = "metrics.duckdb"
"""Name of the store's file in its folder."""
_MINUTES_OF_A_DAY = 24 * 60
_DECODER, _STORAGE = "decoder", "storage"


@asynccontextmanager
async def running(
    settings: Settings, listeners: Sequence[Listener], names: NameLimits | None = None
) -> AsyncIterator[AccessLogService]:
    """Run the backend while the block runs; the block begins when everything is ready.

    The ports answer from the beginning: /healthcheck says what is awaited. At the end no more is accepted, open calls
    get their time to finish, what was received is stored, and the store is closed.

    Raises:
        StorageError: The store cannot be opened.
        OalError: The metrics' definitions are wrong.
    """
    readiness = Readiness((_DECODER, _STORAGE))
    application = BackendApplication(readiness, settings.token)
    async with AsyncExitStack() as stack:
        storing = await stack.enter_async_context(_Storing(settings, Resolver(limits=names)))
        await stack.enter_async_context(serving(application, listeners, settings.times.shutdown_seconds))
        stack.callback(readiness.stop)
        await asyncio.to_thread(warm)
        readiness.done(_DECODER)
        pipeline = await storing.open()
        service = AccessLogService(
            pipeline, Budget(settings.limits.buffered_bytes), settings.period, settings.limits.message_bytes
        )
        storing.registry.register(ReceiverCollector(service, application.grpc))
        answers = routes(storing.storage, storing.metrics.definitions, registry=storing.registry)
        application.open({PATH: service.collect, **HANDLERS}, [metrics_route(storing.registry), *answers])
        readiness.done(_STORAGE)
        yield service


class _Storing:
    """What is behind the receiver. It is opened after the ports answer and closed after they no longer do."""

    metrics: Metrics
    storage: DuckdbStorage

    def __init__(self, settings: Settings, resolver: Resolver) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._settings = settings
        self._resolver = resolver
        self._stack = AsyncExitStack()

    async def open(self) -> Pipeline:
        self.metrics = await asyncio.to_thread(load, skip_unsupported=True)
        self.storage = await asyncio.to_thread(self._open_storage)
        self._stack.push_async_callback(asyncio.to_thread, self.storage.close)
        retention = round(self._settings.times.retention_days * _MINUTES_OF_A_DAY)
        pipeline = Pipeline(
            self.storage,
            self.metrics,
            settings=PipelineSettings(retention=retention),
            resolver=self._resolver,
            telemetry=Telemetry(self.registry),
        )
        await pipeline.start()
        self._stack.push_async_callback(pipeline.stop)
        return pipeline

    def _open_storage(self) -> DuckdbStorage:
        self._settings.folder.mkdir(parents=True, exist_ok=True)
        return DuckdbStorage(self._settings.folder / STORE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
