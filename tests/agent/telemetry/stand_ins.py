"""Parts of an agent that say what a test wants them to."""

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace

from agent.config import Configuration
from agent.export.accounting import Ledger
from agent.export.sender import QueueFill
from agent.kernel.hooks import HOOKS
from agent.kernel.plan import PlannedHook
from agent.telemetry.counted_transport import Deliveries
from agent.telemetry.parts import Parts
from agent.telemetry.progress import Progress


def progress(noted_ns: int) -> Progress:
    """Of a pipeline that has done a little."""
    return Progress(
        noted_ns=noted_ns,
        events=100,
        connections=7,
        connections_evicted=1,
        processes=3,
        processes_evicted=2,
        conversations=4,
        pending=5,
        incomplete={"exchanges": {"http1_gap": 2}},
        troubles={"packages_dropped": 6},
        addresses_without_room=0,
    )


@dataclass
class StandIn:
    """What the parts say."""

    attached: int = len(HOOKS)
    """Of the hooks; those at the end are without a source."""
    noted: Progress | None = None
    problem: str = ""
    queue: QueueFill = field(default_factory=lambda: QueueFill(20, 1000, 2, 700))
    asked: int = 0
    """Times that the kernel was asked for losses."""

    def losses(self) -> dict[str, int]:
        self.asked += 1
        return {"ring_full": 9}

    def parts(self) -> Parts:
        """As an agent with a spool, and without connection tracking, TLS and cluster has them."""
        ledger = Ledger()
        ledger.capture(60)
        ledger.deliver(30)
        ledger.withdraw(5)
        hooks = [
            PlannedHook(hook, hook.sources[0] if number < self.attached else None) for number, hook in enumerate(HOOKS)
        ]
        source = SimpleNamespace(
            coverage=SimpleNamespace(hooks=hooks),
            loaded=SimpleNamespace(programs={}, structs_from="a test"),
            losses=self.losses,
            incomplete=lambda: {"payload_cut": 8},
        )
        return Parts(
            configuration=Configuration(),
            source=source,  # type: ignore[arg-type] # stands in for it
            notes=SimpleNamespace(latest=self.noted),  # type: ignore[arg-type] # same
            ledger=ledger,
            sender=self,  # type: ignore[arg-type] # same
            spool=SimpleNamespace(failures=11, record_failures=12),  # type: ignore[arg-type] # same
            transport=SimpleNamespace(deliveries=Deliveries({"retry": 3}, 1.5, 4, 4000)),  # type: ignore[arg-type] # same
            backends=SimpleNamespace(moves=2, failures=Counter({"a:1": 3}), connections={"a:1": 4}),  # type: ignore[arg-type] # same
            conntrack=None,
            tls=None,
            reporter=None,
        )
