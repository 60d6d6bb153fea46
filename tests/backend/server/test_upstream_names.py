"""Counters under SkyWalking's names are those under ours."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from backend.server.upstream_names import UpstreamNames


def test_counters_are_summed_and_histograms_are_renamed() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    errors = Counter("our_errors", "Errors", ["code"], registry=ours)
    flushes = Counter("our_flushes", "Flushes", ["outcome"], registry=ours)
    seconds = Histogram("our_seconds", "Time", buckets=(1.0, 2.0), registry=ours)
    theirs.register(
        UpstreamNames(
            1_700_000_000.5,
            {"error_count": (errors, {}), "bulk_error_count": (flushes, {"outcome": "failed"})},
            {"latency": seconds},
        )
    )
    for code, count in (("a", 2), ("b", 3)):
        errors.labels(code).inc(count)
    flushes.labels("stored").inc(7)
    flushes.labels("failed").inc()
    for value in (0.5, 1.5, 5.0):
        seconds.observe(value)
    samples = [line for line in generate_latest(theirs).decode().splitlines() if not line.startswith("#")]
    assert samples == [
        "uptime 1.7000000005e+09",
        "error_count 5.0",
        "bulk_error_count 1.0",
        'latency_bucket{le="1.0"} 1.0',
        'latency_bucket{le="2.0"} 2.0',
        'latency_bucket{le="+Inf"} 3.0',
        "latency_count 3.0",
        "latency_sum 7.0",
    ]
