"""The parts of a running agent that are asked for figures."""

from dataclasses import dataclass

from agent.config import Configuration
from agent.conntrack.watcher import ConntrackWatcher
from agent.export.accounting import Ledger
from agent.export.sender import Sender
from agent.export.spool import Spool
from agent.kernel.source import KernelSource
from agent.reporting.reporter import Reporter
from agent.telemetry.counted_transport import CountedTransport
from agent.telemetry.progress import ProgressNotes
from agent.tls.watcher import TlsWatcher
from common.grpc.failover import FailoverClient


@dataclass(frozen=True, slots=True)
class Parts:
    """All that may be asked by another thread than their own. None: the configuration or the kernel does without."""

    configuration: Configuration
    source: KernelSource
    notes: ProgressNotes
    ledger: Ledger
    sender: Sender
    spool: Spool | None
    transport: CountedTransport
    backends: FailoverClient
    conntrack: ConntrackWatcher | None
    tls: TlsWatcher | None
    reporter: Reporter | None

    def incomplete(self) -> dict[str, dict[str, int]]:
        """What is told with less than it should be, by part and cause, since the start."""
        progress = self.notes.latest
        parts = {"kernel": dict(self.source.incomplete())}
        if progress is not None:
            parts |= {part: dict(counts) for part, counts in progress.incomplete.items()}
        if self.reporter is not None:
            parts["reports"] = self.reporter.losses()
        if self.conntrack is not None:
            parts["conntrack"] = self.conntrack.losses()
        if self.tls is not None:
            parts["tls"] = self.tls.failures()
        return parts
