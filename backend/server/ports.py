"""The ports of a backend, bound before anything else is done, so that one that is taken is known at once."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from backend.server import tls
from backend.server.serving import Listener, listen
from backend.server.settings import Settings


@dataclass(frozen=True, slots=True)
class Ports:
    """Bound sockets."""

    grpc: Listener
    http: Listener
    further: tuple[Listener, ...] = ()
    """More of the same."""
    prometheus: Listener | None = None
    """For nothing but metrics."""
    promql: Listener | None = None
    """More of the same as http."""

    @property
    def agents(self) -> tuple[Listener, ...]:
        """Those to which agents send."""
        return (self.grpc, *self.further)

    @property
    def questions(self) -> tuple[Listener, ...]:
        """Those on which questions are answered."""
        return (self.http, *([self.promql] if self.promql else []))

    @classmethod
    def listen(cls, settings: Settings) -> Self:
        """Bind them all, or none.

        Raises:
            PortError: One is taken or not allowed.
            SettingsError: One cannot be encrypted as it is to be.
        """
        tls.check("grpc_tls", settings.grpc_tls)
        tls.check("http_tls", settings.http_tls)
        receivers, prometheus = settings.receivers, settings.prometheus
        with ExitStack() as bound:

            def bind(host: str, port: int, option: str) -> Listener:
                listener = listen(host or settings.host, port, option, shared=settings.share_ports)
                bound.callback(listener.socket.close)
                return listener

            ports = cls(
                bind(settings.grpc_host, settings.grpc_port, "--grpc-port"),
                bind(settings.http_host, settings.http_port, "--http-port"),
                tuple(
                    bind(host, port, option)
                    for host, port, option in (
                        (receivers.sharing_host, receivers.sharing_port, "the setting receivers.sharing_port"),
                        (receivers.ebpf_host, receivers.ebpf_port, "the setting receivers.ebpf_port"),
                    )
                    if port
                ),
                bind(prometheus.host, prometheus.port, "the setting prometheus.port")
                if prometheus.kind == "prometheus"
                else None,
                bind(settings.promql_host, settings.promql_port, "the setting promql_port")
                if settings.promql_port
                else None,
            )
            bound.pop_all()
        return ports
