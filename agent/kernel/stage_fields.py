"""The wire's fields that are measured at the stages between system call and wire.

Each field names its two points: where its time begins and where it ends, or the one where it is counted. From that
follows what is lost without a hook.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Point:
    """A place in the kernel: where a hook is entered, or left."""

    hook: str
    at_return: bool = False


@dataclass(frozen=True)
class StageField:
    """One field of the wire: time between two points, or a count at one."""

    path: str
    """Below kernelLogs."""
    begin: Point
    end: Point | None = None
    """None: counted at `begin`."""
    note: str = ""


def _enter(hook: str) -> Point:
    return Point(hook)


def _leave(hook: str) -> Point:
    return Point(hook, at_return=True)


STAGE_FIELDS: Final = (
    StageField("write.l4Metrics.totalDuration", _enter("send"), _leave("send")),
    StageField("write.l4Metrics.totalTransmitPackageCount", _enter("transmit")),
    StageField("write.l4Metrics.totalPackageSize", _enter("transmit"), note="payload, without headers"),
    StageField("write.l4Metrics.totalRetransmitPackageCount", _enter("retransmit")),
    StageField("write.l4Metrics.lossPackageMetrics", _enter("drop")),
    StageField("write.l3Metrics.totalDuration", _enter("network_transmit"), _leave("network_transmit")),
    StageField("write.l3Metrics.totalLocalDuration", _enter("local_out"), _enter("output")),
    StageField("write.l3Metrics.totalOutputDuration", _enter("output"), _enter("finish_output")),
    StageField("write.l3Metrics.totalResolveMACCount", _enter("neighbour")),
    StageField("write.l3Metrics.totalResolveMACDuration", _enter("neighbour"), _leave("neighbour")),
    StageField("write.l3Metrics.totalNetFilterCount", _enter("netfilter")),
    StageField("write.l3Metrics.totalNetFilterDuration", _enter("netfilter"), _leave("netfilter")),
    StageField("write.l2Metrics.totalDuration", _enter("device"), _leave("device")),
    StageField("write.l2Metrics.ifindex", _enter("device")),
    StageField("write.l2Metrics.totalEnterQueueBufferCount", _enter("device")),
    StageField("write.l2Metrics.totalReadySendDuration", _enter("device"), _enter("driver")),
    StageField("write.l2Metrics.totalNetDeviceSendDuration", _enter("driver"), _leave("driver")),
    StageField("read.l2Metrics.ifindex", _enter("arrive")),
    StageField("read.l2Metrics.totalPackageCount", _enter("hand_over")),
    StageField("read.l2Metrics.totalPackageSize", _enter("hand_over"), note="payload, without headers"),
    StageField("read.l2Metrics.totalPackageToQueueDuration", _enter("arrive"), _enter("hand_over")),
    StageField(
        "read.l2Metrics.totalRcvPackageFromQueueDuration",
        _enter("hand_over"),
        note="until the end of the call that took its last byte",
    ),
    StageField(
        "read.l3Metrics.totalDuration",
        _enter("network_receive"),
        _leave("transport_receive"),
        note="L3 ends where L4 does, which it calls",
    ),
    StageField("read.l3Metrics.totalRecvDuration", _enter("network_receive"), _enter("route_receive")),
    StageField("read.l3Metrics.totalLocalDuration", _enter("deliver"), _enter("finish_deliver")),
    StageField("read.l3Metrics.totalNetFilterCount", _enter("netfilter")),
    StageField("read.l3Metrics.totalNetFilterDuration", _enter("netfilter"), _leave("netfilter")),
    StageField("read.l4Metrics.totalDuration", _enter("transport_receive"), _leave("transport_receive")),
)
