"""What a stream of access logs says each service did: read as any receiver would, apart from the agent's own code."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from protos.ebpf import accesslog_pb2 as wire


def totals_by_service(messages: Iterable[bytes]) -> dict[str, Counter[str]]:
    """Counts and bytes by operation, per local service."""
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    service = None
    for serialised in messages:
        message = wire.EBPFAccessLogMessage.FromString(serialised)
        if message.HasField("node"):
            service = None
        if message.HasField("connection"):
            service = message.connection.local.kubernetes.serviceName
        for log in message.kernelLogs:
            assert service is not None
            _add(totals[service], log)
        if message.HasField("quality"):
            assert service is not None
            totals[service]["bytes_written"] += message.quality.lateWrite.l4Metrics.totalPackageSize
            totals[service]["bytes_read"] += message.quality.lateRead.l2Metrics.totalPackageSize
    return {service: +counts for service, counts in totals.items()}


def _add(totals: Counter[str], log: wire.AccessLogKernelLog) -> None:
    operation = log.WhichOneof("operation")
    if operation == "connect":
        totals["connects" if log.connect.success else "failed_connects"] += 1
    elif operation == "close":
        totals["closes" if log.close.success else "failed_closes"] += 1
    elif operation == "read":
        totals["reads"] += 1
        totals["bytes_read"] += log.read.l2Metrics.totalPackageSize
    elif operation == "write":
        totals["writes"] += 1
        totals["bytes_written"] += log.write.l4Metrics.totalPackageSize
    else:
        totals["accepts"] += 1
