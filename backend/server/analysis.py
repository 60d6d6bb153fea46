"""What is behind the receiver: analysis and store. Opened after the ports answer, closed after they no longer do."""

import asyncio
import math
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry

from backend.entities.resolution import Resolver
from backend.metrics.journal import Journal, has_segments
from backend.metrics.journal_mode import SHARES, AheadSettings, WriteAhead, WriterMemory
from backend.metrics.pipeline import Pipeline, PipelineSettings
from backend.metrics.telemetry import Telemetry
from backend.oal.apdex import ApdexError, ApdexThresholds, load_thresholds
from backend.server.presence import Presence
from backend.server.scripts import load_scripts
from backend.server.settings import JOURNAL, Settings, SettingsError
from backend.storage.interface import Storage
from backend.storage.opening import open_storage


class Analysis:
    """Analysis and store.

    Args:
        settings: How they are to be.
        resolver: Says what a connection counts for.
        registry: Where they count.
    """

    pipeline: Pipeline
    storage: Storage
    presence: Presence

    def __init__(self, settings: Settings, resolver: Resolver, registry: CollectorRegistry) -> None:
        self.settings = settings
        self._resolver = resolver
        self.registry = registry
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Open the store and begin to analyse.

        Raises:
            StorageError: The store cannot be opened, or does not take what is journaled.
            OalError: The metrics' definitions are wrong.
            SettingsError: The apdex thresholds are wrong.
        """
        metrics = await asyncio.to_thread(load_scripts, self.settings.files.oal)
        self.storage = await asyncio.to_thread(self._open_storage)
        self._stack.push_async_callback(asyncio.to_thread, self.storage.close)
        self.pipeline = Pipeline(
            self.storage,
            metrics,
            settings=self._pipeline_settings(),
            thresholds=self._thresholds(),
            resolver=self._resolver,
            telemetry=Telemetry(self.registry),
            ahead=await asyncio.to_thread(self._write_ahead),
        )
        await self.pipeline.start()
        self._stack.push_async_callback(self.pipeline.stop)
        excluded = frozenset(self.settings.entities.excluded_namespaces)
        self.presence = Presence(
            self.storage, self.settings.name_limits, excluded, disabled=lambda: self.pipeline.metrics.disabled
        )
        self.registry.register(self.presence)
        await self.presence.start()
        self._stack.push_async_callback(self.presence.stop)

    def _thresholds(self) -> ApdexThresholds:
        file = self.settings.files.apdex_thresholds
        try:
            return load_thresholds(Path(file)) if file else ApdexThresholds()
        except ApdexError as error:
            raise SettingsError(str(error)) from error

    def _pipeline_settings(self) -> PipelineSettings:
        limits = self.settings.limits
        return PipelineSettings(
            maximum_rows=limits.waiting_logs,
            maximum_bytes=limits.waiting_bytes,
            retention=self.settings.retention,
            zeros_are_values=self.settings.compatibility.zeros_are_values,
        )

    def _write_ahead(self) -> WriteAhead | None:
        """What journals; None for stores that it is not for, and where there is nothing to do for it."""
        if not isinstance(self.storage, WriterMemory):
            return None
        limits, folder = self.settings.limits, self.settings.folder / JOURNAL
        # A journal that is no longer wanted may have logs that were acknowledged.
        if not limits.journal_bytes and not has_segments(folder):
            return None
        settings = AheadSettings(
            after=self.settings.times.journal_after_seconds if limits.journal_bytes else math.inf,
            rows=max(limits.waiting_logs // SHARES, 1),
            bytes=max(limits.waiting_bytes // SHARES, 1),
        )
        return WriteAhead(Journal(folder, limits.journal_bytes), self.storage, settings, self.registry)

    def _open_storage(self) -> Storage:
        store = self.settings.store
        if store.kind == "duckdb":
            self.settings.folder.mkdir(parents=True, exist_ok=True)
        return open_storage(self.settings.store_url, memory_limit=store.duckdb_memory)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
