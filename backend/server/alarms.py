"""Alarms of a running backend: their rules, where they are kept, and who is told."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from prometheus_client import CollectorRegistry

from backend.alarms.couriers import Couriers
from backend.alarms.engine import Engine
from backend.alarms.errors import AlarmError
from backend.alarms.lead import FolderLead
from backend.alarms.loading import AlarmSettings, load, load_standard
from backend.alarms.record_file import FileRecords
from backend.alarms.telemetry import AlarmCollector
from backend.alarms.watch import AlarmWatch
from backend.query.catalog import Catalog
from backend.server.reloading import Part
from backend.server.settings import Settings, SettingsError
from backend.storage.interface import Storage

RECORDS = "alarms.sqlite"
"""Name of the file of alarms in the folder of the store."""
LEAD = "alarms.lock"
"""Name of the file that the one backend locks that checks rules."""
STOPPING = 5.0
"""Seconds that hooks get at the end for what they are to be told."""


class Alarms:
    """Checks rules from open() until the block ends.

    Args:
        settings: Where rules and alarms are.
        catalog: The metrics that there are now.
        registry: Where they count.

    Attributes:
        records: Where alarms are kept.
        watch: What checks rules.
    """

    records: FileRecords
    watch: AlarmWatch

    def __init__(self, settings: Settings, catalog: Callable[[], Catalog], registry: CollectorRegistry) -> None:
        self._settings = settings
        self._catalog = catalog
        self._registry = registry
        self._closing = AsyncExitStack()

    async def open(self, storage: Storage) -> None:
        """Begin to check rules over the metrics of a store.

        Raises:
            SettingsError: The rules or hooks are wrong.
            StorageError: What was kept cannot be used.
        """
        try:
            settings = await asyncio.to_thread(self._load)
        except AlarmError as error:
            raise SettingsError(str(error)) from error
        folder = self._settings.folder
        lead = FolderLead(folder / LEAD)
        self._closing.callback(lead.close)
        self.records = await asyncio.to_thread(FileRecords, folder / RECORDS)
        self._closing.callback(self.records.close)
        engine = await asyncio.to_thread(Engine, storage, self._catalog, self.records, settings.rules)
        self.watch = AlarmWatch(engine, self.records, Couriers(settings.hooks.by_name), holds=lead.holds)
        self._registry.register(AlarmCollector(self.watch))
        await self.watch.start()
        self._closing.push_async_callback(self.watch.stop, STOPPING)

    def parts(self) -> list[Part[Any]]:
        """What can be read again while the backend runs."""
        return [Part("alarms", self._load, self._use, (AlarmError,))]

    def _load(self) -> AlarmSettings:
        file = self._settings.files.alarms
        return load(Path(file), self._catalog()) if file else load_standard(self._catalog())

    def _use(self, settings: AlarmSettings) -> str:
        self.watch.use(settings)
        return f"{len(settings.rules)} rules, {len(settings.hooks.by_name)} hooks"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()
