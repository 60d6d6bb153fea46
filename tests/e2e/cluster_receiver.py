"""A receiver of access logs and reports of processes that holds agents to the rules of SkyWalking's own.

Rules: a stream begins with its node, which has a name and the time of its boot; nothing but connections and logs of the
one named last come after it; each connection has both ends, and a local one that is known by name. A process is
reported before it is kept alive, under a layer that exists.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager

import grpc

from agent.export.transport import METHOD
from agent.reporting.beats import KEEP_ALIVE, REPORT
from backend.entities.layers import LAYERS
from protos.ebpf import accesslog_pb2 as wire
from protos.ebpf import process_pb2 as process
from tests.waiting import PATIENCE

Message = wire.EBPFAccessLogMessage


class Receiver:
    """Takes streams and reports.

    Attributes:
        violations: what of them is against the rules.
    """

    def __init__(self) -> None:
        self.violations: list[str] = []
        self._streams: list[list[Message]] = []
        self._reported: set[tuple[str, ...]] = set()
        self._processes: dict[int, process.EBPFProcessProperties] = {}
        self._kept_alive: set[str] = set()
        self._known: set[bytes] = set()
        self._changed = threading.Condition()

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something holds of what was received."""
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), self.violations or self._streams[-3:]

    def streams(self) -> Sequence[Sequence[Message]]:
        """Every stream so far."""
        return list(self._streams)

    def reported(self) -> set[tuple[str, ...]]:
        """Layer, service, instance and labels of every process so far."""
        return set(self._reported)

    def processes(self) -> dict[int, process.EBPFProcessProperties]:
        """What was reported last of each process, by its id."""
        return dict(self._processes)

    def is_kept_without(self, gone: str, others: frozenset[str] = frozenset()) -> bool:
        """Whether what was kept alive since the last time that this was asked are others, and not a certain service."""
        with self._changed:
            kept = set(self._kept_alive)
            if gone in kept:
                self._kept_alive.clear()
            return bool(kept) and gone not in kept and others <= kept

    def forget_kept_alive(self) -> None:
        """Begin anew with what is kept alive."""
        with self._changed:
            self._kept_alive.clear()

    def kept_alive(self) -> set[str]:
        """Services of processes that were kept alive."""
        return set(self._kept_alive)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a port of the loopback interface; its address."""
        server = grpc.server(futures.ThreadPoolExecutor(4))
        handlers = {
            METHOD: grpc.stream_unary_rpc_method_handler(self._collect),
            REPORT: grpc.unary_unary_rpc_method_handler(self._report),
            KEEP_ALIVE: grpc.unary_unary_rpc_method_handler(self._keep_alive),
        }
        for path, handler in handlers.items():
            _, service, method = path.split("/")
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()

    def _collect(self, messages: Iterator[bytes], _context: grpc.ServicerContext) -> bytes:
        stream = [Message.FromString(message) for message in messages]
        with self._changed:
            self._check_stream(stream)
            self._streams.append(stream)
            self._changed.notify_all()
        return b""

    def _check_stream(self, stream: Sequence[Message]) -> None:
        for at, message in enumerate(stream):
            self._rule(message.HasField("node") is (at == 0), "the node stands at the beginning alone")
            if at == 0:
                self._rule(bool(message.node.name) and message.node.bootTime.seconds > 0, "a node says who it is")
            elif message.HasField("connection"):
                local, remote = message.connection.local, message.connection.remote
                self._rule(local.WhichOneof("address") == "kubernetes", "the local end is known by name")
                self._rule(remote.WhichOneof("address") is not None, "there is a remote end")
                named = local.kubernetes
                self._rule(bool(named.serviceName and named.podName and named.processName), "names are not empty")
            else:
                self._rule(at > 1, "logs come after their connection")

    def _report(self, message: bytes, _context: grpc.ServicerContext) -> bytes:
        answer = process.EBPFReportProcessDownstream()
        with self._changed:
            for each in process.EBPFProcessReportList.FromString(message).processes:
                of_host = each.WhichOneof("metadata") == "hostProcess"
                told = each.hostProcess if of_host else each.k8sProcess
                entity = told.entity
                self._rule(
                    bool(entity.serviceName and entity.instanceName and entity.processName), "names are not empty"
                )
                self._processes[told.pid] = each
                self._rule(entity.layer in LAYERS, "a layer exists")
                self._known.add(entity.SerializeToString(deterministic=True))
                labels = ",".join(entity.labels)
                self._reported.add((entity.layer, entity.serviceName, entity.instanceName, labels))
                named = answer.processes.add(processId=str(len(self._known)))
                answered = named.hostProcess if of_host else named.k8sProcess
                answered.pid = told.pid
                answered.entityMetadata.CopyFrom(entity)
            self._changed.notify_all()
        return answer.SerializeToString()

    def _keep_alive(self, message: bytes, _context: grpc.ServicerContext) -> bytes:
        with self._changed:
            for each in process.EBPFProcessPingPkgList.FromString(message).processes:
                entity = each.entityMetadata
                known = entity.SerializeToString(deterministic=True) in self._known
                self._rule(known, "a process is reported before it is kept alive")
                self._kept_alive.add(entity.serviceName)
            self._changed.notify_all()
        return b""

    def _rule(self, kept: object, rule: str) -> None:
        if not kept:
            self.violations.append(rule)
