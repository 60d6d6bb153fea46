"""Which labels the store has of a metric: those that came before this process was started."""

import logging

import polars as pl

from backend.oal.labels import MINUTES_OF_A_DAY
from backend.storage.interface import Precision, Storage, StorageError

_logger = logging.getLogger(__name__)


class StoredLabels:
    """Tells labels of a store, as backend.oal.labels.Recall.

    Args:
        storage: Where metrics are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __call__(self, metric: str, day: int) -> pl.DataFrame | None:
        """Entities and labels of a metric in a day, each once; None when the store cannot be asked. Blocks."""
        first = day * MINUTES_OF_A_DAY
        try:
            rows = self._storage.metrics([metric], [], first, first, Precision.DAY)
        except StorageError as error:
            _logger.warning(
                "which labels %s has is asked again at the next flush, as the store failed: %s", metric, error
            )
            return None
        return rows.select("entity", "label").unique(maintain_order=True)
