"""Where what the stages did stands on the wire: the fields below a write and a read, and the column of each."""

from collections.abc import Iterable, Iterator

WRITE_METRICS = {
    "l4Metrics.totalDuration": "l4_ns",
    "l4Metrics.totalTransmitPackageCount": "packages",
    "l4Metrics.totalRetransmitPackageCount": "retransmits",
    "l4Metrics.totalPackageSize": "package_bytes",
    "l4Metrics.roundTripMicroseconds": "round_trip_us",
    "l4Metrics.totalLatePackageCount": "late_packages",
    "l4Metrics.totalLateDuration": "late_ns",
    "l3Metrics.totalDuration": "l3_ns",
    "l3Metrics.totalLocalDuration": "l3_local_ns",
    "l3Metrics.totalOutputDuration": "l3_output_ns",
    "l3Metrics.totalResolveMACCount": "neighbours",
    "l3Metrics.totalResolveMACDuration": "neighbour_ns",
    "l3Metrics.totalNetFilterCount": "netfilters",
    "l3Metrics.totalNetFilterDuration": "netfilter_ns",
    "l2Metrics.totalDuration": "l2_ns",
    "l2Metrics.ifindex": "interface",
    "l2Metrics.totalEnterQueueBufferCount": "queued",
    "l2Metrics.totalReadySendDuration": "l2_ready_ns",
    "l2Metrics.totalNetDeviceSendDuration": "l2_device_ns",
}
"""Wire path below a write: name in STAGES."""

READ_METRICS = {
    "l2Metrics.ifindex": "interface",
    "l2Metrics.totalPackageCount": "packages",
    "l2Metrics.totalPackageSize": "package_bytes",
    "l2Metrics.totalPackageToQueueDuration": "l2_ready_ns",
    "l2Metrics.totalRcvPackageFromQueueDuration": "l2_device_ns",
    "l3Metrics.totalDuration": "l3_ns",
    "l3Metrics.totalRecvDuration": "l3_output_ns",
    "l3Metrics.totalLocalDuration": "l3_local_ns",
    "l3Metrics.totalNetFilterCount": "netfilters",
    "l3Metrics.totalNetFilterDuration": "netfilter_ns",
    "l4Metrics.totalDuration": "l4_ns",
    "l4Metrics.roundTripMicroseconds": "round_trip_us",
    "l4Metrics.totalLatePackageCount": "late_packages",
}
"""Wire path below a read: name in STAGES."""

OPTIONAL_METRICS = ("l4Metrics", "l3Metrics", "l2Metrics")
"""Messages that are left out where they have nothing to say."""


def prefixed(prefix: str, paths: Iterable[str]) -> Iterator[str]:
    """Paths as seen from above."""
    return (f"{prefix}.{path}" for path in paths)
