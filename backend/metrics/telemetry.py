"""What the analysis says about itself."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.oal.labels import LabelLoss, Labels


class Telemetry:
    """Counters of one pipeline, in the names under which Prometheus reads them.

    Attributes:
        registry: where they are registered.
        rows: logs taken.
        dropped: logs that count for nothing, by cause.
        abandoned: HTTP logs that count for no endpoint of their own.
        untimed: HTTP calls whose duration is not known.
        forgotten: flows that were forgotten because there were too many.
        repeated: logs of batches that the store had already.
        refused: logs that were not taken because too many were waiting.
        failed: logs that were taken but could not be stored; their senders were told.
        flushes: flushes, by outcome: stored, failed, or made anew without what other backends store.
        retries: attempts to write a flush again.
        seconds: time from the start of a flush until it is durable.
        held: logs waiting to be durable.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.rows = Counter("pyrover_analysis_logs", "Logs taken for analysis", registry=self.registry)
        self.dropped = Counter(
            "pyrover_analysis_logs_dropped", "Logs that count for nothing", ["cause"], registry=self.registry
        )
        self.abandoned = Counter(
            "pyrover_analysis_endpoints_abandoned",
            "HTTP logs that count for no endpoint of their own, because their service has too many",
            registry=self.registry,
        )
        self.untimed = Counter(
            "pyrover_analysis_calls_untimed",
            "HTTP calls whose duration is not known, because their first slices are not",
            registry=self.registry,
        )
        self.forgotten = Counter(
            "pyrover_analysis_flows_forgotten",
            "Flows forgotten because there were too many; they are found again",
            registry=self.registry,
        )
        self.repeated = Counter(
            "pyrover_analysis_logs_repeated",
            "Logs of batches that the store had already, from before the start or from another backend",
            registry=self.registry,
        )
        self.refused = Counter(
            "pyrover_analysis_logs_refused", "Logs not taken, too many were waiting", registry=self.registry
        )
        self.failed = Counter(
            "pyrover_analysis_logs_failed", "Logs taken that could not be stored", registry=self.registry
        )
        self.flushes = Counter(
            "pyrover_analysis_flushes", "Flushes, by what became of them", ["outcome"], registry=self.registry
        )
        self.retries = Counter("pyrover_analysis_flush_retries", "Flushes written again", registry=self.registry)
        self.seconds = Histogram(
            "pyrover_analysis_flush_seconds",
            "Time from the start of a flush until it is durable",
            registry=self.registry,
        )
        self.held = Gauge("pyrover_analysis_logs_held", "Logs waiting to be durable", registry=self.registry)


class LabelsCollector(Collector):
    """Reads what is remembered of labels."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """The number of labels, and what counts for none."""
        yield GaugeMetricFamily("pyrover_analysis_labels", "Labels of metrics remembered", value=len(self._labels))
        refused = CounterMetricFamily(
            "pyrover_analysis_labels_refused", "Rows that count for no label, as there are too many", labels=["cause"]
        )
        counts = self._labels.refused
        for cause in LabelLoss:
            refused.add_metric([cause], counts.get(cause, 0))
        yield refused
