"""The backend's own counters under the names that dashboards made for SkyWalking's backend look for, besides their own.

`uptime` is the time of the start there, and not the time since.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True, eq=False)
class UpstreamNames(Collector):
    """Reads what is counted already.

    Attributes:
        started: seconds since 1970-01-01 UTC.
        counters: by upstream's name; the sum over all labels, and of those only that are named, where some are.
        histograms: by upstream's name.
    """

    started: float
    counters: Mapping[str, tuple[Counter, Mapping[str, str]]]
    histograms: Mapping[str, Histogram]

    def collect(self) -> Iterator[Metric]:
        """Everything under upstream's names."""
        start = Metric("uptime", "When the backend started, in seconds since 1970-01-01 UTC", "gauge")
        start.add_sample("uptime", {}, self.started)
        yield start
        for name, (counter, labels) in self.counters.items():
            # A counter of Prometheus's client would have the suffix _total.
            summed = Metric(name, "Errors, under SkyWalking's name", "unknown")
            summed.add_sample(name, {}, _total(counter, labels))
            yield summed
        for name, histogram in self.histograms.items():
            yield from _renamed(name, histogram)


def _total(counter: Counter, labels: Mapping[str, str]) -> float:
    return sum(
        sample.value
        for family in counter.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
    )


def _renamed(name: str, histogram: Histogram) -> Iterator[Metric]:
    for family in histogram.collect():
        renamed = Metric(name, family.documentation, family.type)
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                renamed.add_sample(sample.name.replace(family.name, name, 1), sample.labels, sample.value)
        yield renamed
