"""Logs as messages built field by field with protobuf, to compare the columnar encoder with.

Which column stands in which field is written out here once more, on purpose: the encoder has its own tables.
"""

from typing import Any

import numpy as np

from agent.events.layout import STAGES, EventKind, SystemCall
from protos.ebpf import accesslog_pb2 as wire

WIRE_CALL = {
    SystemCall.READ: "Read",
    SystemCall.READV: "Readv",
    SystemCall.RECVFROM: "RecvFrom",
    SystemCall.RECVMSG: "RecvMsg",
    SystemCall.RECVMMSG: "RecvMmsg",
    SystemCall.PREADV2: "Readv",
    SystemCall.SPLICE_READ: "Read",
    SystemCall.WRITE: "Write",
    SystemCall.WRITEV: "Writev",
    SystemCall.SENDTO: "SendTo",
    SystemCall.SENDMSG: "SendMsg",
    SystemCall.SENDMMSG: "SendMmsg",
    SystemCall.PWRITEV2: "Writev",
    SystemCall.SENDFILE: "SendFile64",
    SystemCall.SPLICE_WRITE: "SendFile64",
}


def plain_kernel_log(log: np.void) -> wire.AccessLogKernelLog:
    """A row of LOG as the message that it is to become."""
    times: dict[str, Any] = {"startTime": _offset(int(log["start_ns"])), "endTime": _offset(int(log["end_ns"]))}
    stages = dict(zip(STAGES.names or (), log["stages"].item(), strict=True))
    success = bool(log["success"])
    match EventKind(log["kind"]):
        case EventKind.CONNECT:
            connect = wire.AccessLogKernelConnectOperation(
                **times,
                success=success,
                handshakeDuration=stages["l4_ns"],
                errorNumber=int(log["error"]),
                roundTripMicroseconds=stages["round_trip_us"],
            )
            return wire.AccessLogKernelLog(connect=connect)
        case EventKind.ACCEPT:
            accept = wire.AccessLogKernelAcceptOperation(**times, roundTripMicroseconds=stages["round_trip_us"])
            return wire.AccessLogKernelLog(accept=accept)
        case EventKind.CLOSE:
            return wire.AccessLogKernelLog(close=wire.AccessLogKernelCloseOperation(**times, success=success))
        case EventKind.READ:
            call = WIRE_CALL[SystemCall(log["system_call"])]
            read = wire.AccessLogKernelReadOperation(**times, syscall=call, **_given(plain_read(stages)))
            return wire.AccessLogKernelLog(read=read)
        case EventKind.WRITE:
            call = WIRE_CALL[SystemCall(log["system_call"])]
            write = wire.AccessLogKernelWriteOperation(**times, syscall=call, **_given(plain_write(stages)))
            return wire.AccessLogKernelLog(write=write)
        case kind:
            raise AssertionError(kind)


def plain_write(stages: dict[str, int]) -> wire.PyroverLateWrite:
    """The metrics of a write; an operation has fields of the same names."""
    return wire.PyroverLateWrite(
        l4Metrics=wire.AccessLogKernelWriteL4Metrics(
            totalDuration=stages["l4_ns"],
            totalTransmitPackageCount=stages["packages"],
            totalRetransmitPackageCount=stages["retransmits"],
            totalPackageSize=stages["package_bytes"],
            roundTripMicroseconds=stages["round_trip_us"],
            totalLatePackageCount=stages["late_packages"],
            totalLateDuration=stages["late_ns"],
        ),
        l3Metrics=wire.AccessLogKernelWriteL3Metrics(
            totalDuration=stages["l3_ns"],
            totalLocalDuration=stages["l3_local_ns"],
            totalOutputDuration=stages["l3_output_ns"],
            totalResolveMACCount=stages["neighbours"],
            totalResolveMACDuration=stages["neighbour_ns"],
            totalNetFilterCount=stages["netfilters"],
            totalNetFilterDuration=stages["netfilter_ns"],
        ),
        l2Metrics=wire.AccessLogKernelWriteL2Metrics(
            totalDuration=stages["l2_ns"],
            ifindex=stages["interface"],
            totalEnterQueueBufferCount=stages["queued"],
            totalReadySendDuration=stages["l2_ready_ns"],
            totalNetDeviceSendDuration=stages["l2_device_ns"],
        ),
    )


def plain_read(stages: dict[str, int]) -> wire.PyroverLateRead:
    """The metrics of a read."""
    return wire.PyroverLateRead(
        l2Metrics=wire.AccessLogKernelReadL2Metrics(
            ifindex=stages["interface"],
            totalPackageCount=stages["packages"],
            totalPackageSize=stages["package_bytes"],
            totalPackageToQueueDuration=stages["l2_ready_ns"],
            totalRcvPackageFromQueueDuration=stages["l2_device_ns"],
        ),
        l3Metrics=wire.AccessLogKernelReadL3Metrics(
            totalDuration=stages["l3_ns"],
            totalRecvDuration=stages["l3_output_ns"],
            totalLocalDuration=stages["l3_local_ns"],
            totalNetFilterCount=stages["netfilters"],
            totalNetFilterDuration=stages["netfilter_ns"],
        ),
        l4Metrics=wire.AccessLogKernelReadL4Metrics(
            totalDuration=stages["l4_ns"],
            roundTripMicroseconds=stages["round_trip_us"],
            totalLatePackageCount=stages["late_packages"],
        ),
    )


def _given(metrics: wire.PyroverLateWrite | wire.PyroverLateRead) -> dict[str, Any]:
    """The metrics that say something."""
    return {field.name: value for field, value in metrics.ListFields() if value.ListFields()}


def _offset(value: int) -> wire.EBPFTimestamp:
    return wire.EBPFTimestamp(offset=wire.EBPFOffsetTimestamp(offset=value))
