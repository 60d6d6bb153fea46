"""What is counted of alarms, in the names under which Prometheus reads it."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.alarms.couriers import NoticeLoss
from backend.alarms.watch import AlarmWatch

LEFT_OUT = ("entities", "standing", "unnamed")
"""Causes of Engine.left_out."""
_PREFIX = "pyrover_backend_alarm"


class AlarmCollector(Collector):
    """Reads the counters of a watch when Prometheus asks."""

    def __init__(self, watch: AlarmWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """Everything that is counted."""
        watch, engine, couriers = self._watch, self._watch.engine, self._watch.couriers
        yield GaugeMetricFamily(f"{_PREFIX}_leads", "Whether this backend checks rules", value=watch.leads)
        yield CounterMetricFamily(f"{_PREFIX}s_begun", "Alarms that began", value=engine.begun)
        standing = GaugeMetricFamily(f"{_PREFIX}s_standing", "Alarms that are not over", labels=["state"])
        for state, count in engine.standing.items():
            standing.add_metric([state], count)
        yield standing
        yield CounterMetricFamily(
            f"{_PREFIX}_checks", "How often a rule was checked for an entity", value=engine.checked
        )
        failures = CounterMetricFamily(f"{_PREFIX}_rule_failures", "Rules that could not be checked", labels=["rule"])
        for rule, count in sorted(engine.failed.items()):
            failures.add_metric([rule], count)
        yield failures
        left_out = CounterMetricFamily(
            f"{_PREFIX}_entities_left_out", "Entities that were not checked, or not alarmed of", labels=["cause"]
        )
        for cause in LEFT_OUT:
            left_out.add_metric([cause], engine.left_out[cause])
        yield left_out
        yield CounterMetricFamily(
            f"{_PREFIX}_minute_failures", "Minutes that could not be checked, and are tried again", value=watch.failures
        )
        yield CounterMetricFamily(f"{_PREFIX}_minutes_skipped", "Minutes that were not checked", value=watch.skipped)
        yield CounterMetricFamily(f"{_PREFIX}s_forgotten", "Alarms forgotten early", value=watch.forgotten)
        delivered = CounterMetricFamily(f"{_PREFIX}_notices_delivered", "Notices that were taken", labels=["hook"])
        for hook, count in sorted(couriers.delivered.items()):
            delivered.add_metric([hook], count)
        yield delivered
        lost = CounterMetricFamily(f"{_PREFIX}_notices_lost", "Notices that were not taken", labels=["hook", "cause"])
        for hook in sorted({hook for hook, _ in couriers.lost}):
            for cause in NoticeLoss:
                lost.add_metric([hook, cause.value], couriers.lost[hook, cause])
        yield lost
        waiting = GaugeMetricFamily(f"{_PREFIX}_notices_waiting", "Notices that wait for their hook", labels=["hook"])
        for hook, count in sorted(couriers.waiting().items()):
            waiting.add_metric([hook], count)
        yield waiting
