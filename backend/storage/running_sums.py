"""Sums of what one process has written for each key, for a store that replaces rows.

A flush is not written as rows of its own: of each key that it has, the sum over all flushes of this process is written,
and replaces the sum before. So there is one row for each key and process, however many flushes there are, and writing
twice changes nothing. Each row has the sum before as well, which is what counts until the whole flush does.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from backend.storage.merging import KEY, merge_rows

BEFORE = "before_"
"""What names of columns begin with that have what was there before."""
_REPLACEABLE = 8
"""Latest flushes that may be written again with other rows; of older ones it is known that they were written."""
_REMEMBERED = 60
"""Minutes for which writers of flushes are remembered; a flush is tried again within seconds."""


@dataclass(slots=True)
class _Writer:
    """What is known of a flush."""

    minute: int
    """When minutes were last closed before it was written."""
    closed: set[int] = field(default_factory=set)
    """Minutes for which it cannot be written again."""
    is_replaceable: bool = True


class RunningSums:
    """Sums of the open minutes. Use from one thread at a time.

    `prepare` says what a flush makes of them, `commit` that it is written. Without a commit, the sums are what they
    were, and the keys of the flush, of which it is not known whether they are written, are written anew with the next.
    """

    def __init__(self, schema: Mapping[str, type[pl.DataType]], process: str) -> None:
        """Start without sums.

        Args:
            schema: MetricSchema or MeasureSchema.
            process: a name that no other process has.
        """
        self._schema = schema
        self._process = process
        self._sums = pl.DataFrame(schema=schema)  # of flushes that cannot be replaced any more
        self._latest: OrderedDict[str, pl.DataFrame] = OrderedDict()
        self._known: dict[str, _Writer] = {}
        self._writers: dict[int, str] = {}  # by open minute
        self._uncertain = pl.DataFrame(schema={name: schema[name] for name in KEY})
        self._generation = 0
        self._closed = 0
        self._pending: tuple[str | None, pl.DataFrame] | None = None

    @property
    def is_uncertain(self) -> bool:
        """Whether there are keys of which it is not known what is written."""
        return not self._uncertain.is_empty()

    def prepare(self, writer: str | None, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows that have to be written so that a flush counts once.

        Args:
            writer: of the flush; None for none, to write what is uncertain.
            rows: of the flush; columns of the schema.

        Returns:
            Columns of the schema, `writer`, and `live`: 0 for a key that nothing is known to have been written for; and
            the values and `live` of before this flush, under names that begin with BEFORE.
        """
        rows = self._writable(writer, merge_rows(rows.select(pl.col(n).cast(t) for n, t in self._schema.items())))
        self._pending = writer, rows
        keys = pl.concat([rows.select(KEY), self._uncertain]).unique()
        self._uncertain = keys
        replaced = None if writer is None else self._latest.get(writer)
        others = [self._sums, *(frame for name, frame in self._latest.items() if name != writer)]
        rest = merge_rows(pl.concat([part.join(keys, on=KEY, how="semi") for part in others]))
        if replaced is None:
            sums, before = merge_rows(pl.concat([rest, rows])), rest
        else:
            replaced = replaced.join(keys, on=KEY, how="semi")
            sums = merge_rows(pl.concat([rest, rows, replaced.join(rows, on=KEY, how="anti")]))
            before = merge_rows(pl.concat([rest, replaced]))
        for minute in keys["minute"].unique():
            self._writers.setdefault(minute, f"{self._process}-{self._generation}")
        with_sums = self._with_values(keys, sums, "")
        return self._with_values(with_sums, before, BEFORE).with_columns(
            pl.col("minute").replace_strict(self._writers, default="", return_dtype=pl.String).alias("writer")
        )

    def commit(self) -> None:
        """What was prepared last is written."""
        if self._pending is None:
            raise RuntimeError("nothing was prepared")
        (writer, rows), self._pending = self._pending, None
        self._uncertain = self._uncertain.clear()
        if writer is None:
            return
        before = self._latest.pop(writer) if writer in self._latest else None
        if before is not None:
            rows = pl.concat([before.join(rows, on=KEY, how="anti"), rows])
        self._latest[writer] = rows
        self._known.setdefault(writer, _Writer(self._closed))
        if len(self._latest) > _REPLACEABLE:
            oldest, rows = self._latest.popitem(last=False)
            self._known[oldest].is_replaceable = False
            self._sums = merge_rows(pl.concat([self._sums, rows]))

    def close(self, minute: int) -> None:
        """Forget the sums of minutes before this one: what still comes for them is written under another writer.

        Raises:
            RuntimeError: it is not known of some keys what is written; prepare and commit first.
        """
        if self.is_uncertain:
            raise RuntimeError("what is written has to be certain before minutes are closed")
        self._generation += 1
        # Counted from when minutes were closed the last time: however long ago that was, a flush since then is known.
        forgotten = self._closed - _REMEMBERED
        self._closed = max(self._closed, minute)
        is_open = pl.col("minute") >= minute
        for writer, rows in self._latest.items():
            self._known[writer].closed.update(rows.filter(~is_open)["minute"].unique())
            self._latest[writer] = rows.filter(is_open)
        self._sums = self._sums.filter(is_open)
        self._writers = {of: writer for of, writer in self._writers.items() if of >= minute}
        for writer in [name for name, known in self._known.items() if known.minute < forgotten]:
            del self._known[writer]
            if writer in self._latest:
                self._sums = merge_rows(pl.concat([self._sums, self._latest.pop(writer)]))

    def _with_values(self, keys: pl.DataFrame, sums: pl.DataFrame, prefix: str) -> pl.DataFrame:
        """Keys with their values and whether they have any, under names with a prefix."""
        values = {name: f"{prefix}{name}" for name in self._schema if name not in KEY}
        live = f"{prefix}live"
        found = sums.rename(values).with_columns(pl.lit(1, pl.UInt8).alias(live))
        return keys.join(found, on=KEY, how="left").with_columns(
            pl.col(name).fill_null(0) for name in (*values.values(), live)
        )

    def _writable(self, writer: str | None, rows: pl.DataFrame) -> pl.DataFrame:
        known = None if writer is None else self._known.get(writer)
        if known is None:
            return rows
        if not known.is_replaceable:
            return rows.clear()
        return rows.filter(~pl.col("minute").is_in(list(known.closed)))
