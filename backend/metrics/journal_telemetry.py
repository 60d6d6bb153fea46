"""What the journal says about itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class JournalTelemetry:
    """Counters of one journal, in the names under which Prometheus reads them.

    Attributes:
        logs: logs written to it, and answered.
        syncs: how often it was made durable.
        failures: appends that failed; what was in them was stored before it was answered.
        unstored: logs in it that are not stored yet.
        replayed: logs read from it at the start.
        damaged: records that could not be read at the start, by cause: torn at the end of a segment, or damaged.
        remaining: segments that are stored and could not be removed.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.logs = Counter("pyrover_analysis_journal_logs", "Logs written to the journal", registry=registry)
        self.syncs = Counter(
            "pyrover_analysis_journal_syncs", "How often the journal was made durable", registry=registry
        )
        self.failures = Counter(
            "pyrover_analysis_journal_failures", "Appends to the journal that failed", registry=registry
        )
        self.unstored = Gauge(
            "pyrover_analysis_journal_logs_unstored", "Logs in the journal that are not stored yet", registry=registry
        )
        self.replayed = Counter(
            "pyrover_analysis_journal_logs_replayed", "Logs read from the journal at the start", registry=registry
        )
        self.damaged = Counter(
            "pyrover_analysis_journal_records_damaged",
            "Records of the journal that could not be read at the start",
            ["cause"],
            registry=registry,
        )
        self.remaining = Gauge(
            "pyrover_analysis_journal_segments_remaining",
            "Segments that are stored and could not be removed",
            registry=registry,
        )
