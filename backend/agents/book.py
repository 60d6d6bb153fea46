"""Keeps which agents were heard lately, and the last that each told of itself."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from backend.agents.report import Report, read_report
from backend.ingest.batch import Node
from backend.ingest.interning import RecentCache

MAXIMUM_AGENTS = 4_096
MAXIMUM_BYTES = 32 * 1024 * 1024
"""Of all reports together, as they came."""
LARGEST_REPORT = 98_304
"""Bytes; the bounds of the agents' own keep below it."""
LONGEST_NAME = 256
"""Characters of a node's and of a cluster's name; what is longer is cut."""
SILENT_AFTER = 120.0
"""Seconds after which an agent is silent. Ours send a stream at least every 35; others when there is traffic, but tell
of processes every 20."""
FORGOTTEN_AFTER = 3_600.0
"""Seconds of silence after which an agent is forgotten."""
CURRENT = 300.0
"""Seconds for which a report stands against those with an earlier time of the node. Clocks may be set back."""
_SEVERAL: Final = "several"
"""Of a connection that a proxy uses for several agents: it says nothing of one of them."""


Peer = tuple[str, int]
"""Address and port of the other end of a connection."""


@dataclass(slots=True)
class HeardAgent:
    """An agent, by the streams that it sent. Times are Unix seconds by this backend's clock."""

    node: str
    cluster: str
    first_heard: float
    last_heard: float
    report: Report | None = None
    """The last; None for agents that tell nothing of themselves, as those of Apache SkyWalking."""
    before: Report | None = None
    """The one before it."""
    reported: float = 0.0
    """When the last report was taken."""
    size: int = 0
    """Bytes of the last report."""

    def is_silent(self, now: float) -> bool:
        """Whether nothing was heard for so long that something must be wrong, or the agent has ended."""
        return now - self.last_heard >= SILENT_AFTER


class AgentBook:
    """The agents that were heard lately. Use from one event loop.

    Args:
        maximum: Most agents that are kept.
        maximum_bytes: Of all their reports.
        clock: Unix time in seconds.

    Attributes:
        heard: How many streams began with a node.
        lost: What could not be kept, by cause: full, for an agent beyond those that are kept; report_full, report_large
            and report_outdated, for a report alone.
        forgotten: Agents that were silent for too long.
    """

    def __init__(
        self,
        maximum: int = MAXIMUM_AGENTS,
        maximum_bytes: int = MAXIMUM_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.heard = 0
        self.lost: Counter[str] = Counter()
        self.forgotten = 0
        self.clock = clock
        self._maximum = maximum
        self._maximum_bytes = maximum_bytes
        self._bytes = 0
        self._agents: OrderedDict[tuple[str, str], HeardAgent] = OrderedDict()
        """By cluster and name of the node; who was not heard for the longest time comes first."""
        self._by_peer: RecentCache[Peer, tuple[str, str] | Literal["several"]] = RecentCache(maximum)
        """Whose streams came by a connection; _SEVERAL where they are not of one."""

    def hear(self, node: Node, report: bytes | None, peer: Peer | None = None) -> None:
        """Take note of a stream.

        Args:
            node: Whom it is of.
            report: What the agent tells of itself in it, as it came and known to parse.
            peer: Whose connection it came by.
        """
        self.heard += 1
        now = self.clock()
        self._forget(now)
        name = node.cluster[:LONGEST_NAME], node.name[:LONGEST_NAME]
        agent = self._agents.get(name)
        if agent is None:
            if len(self._agents) >= self._maximum:
                self.lost["full"] += 1
                return
            agent = self._agents[name] = HeardAgent(name[1], name[0], now, now)
        agent.last_heard = now
        self._agents.move_to_end(name)
        if report is not None:
            self._keep(agent, report, now)
        if peer is not None and (known := self._by_peer.get(peer)) != name:
            self._by_peer.put(peer, name if known is None else _SEVERAL)

    def alive(self, peer: Peer) -> None:
        """Take note of another call by a connection: who sent streams by it is there, with or without logs.

        An agent that tells of itself does so whether it has logs or not, so this says nothing of it.
        """
        name = self._by_peer.get(peer)
        if name is None or name == _SEVERAL:
            return
        agent = self._agents.get(name)
        if agent is not None and agent.report is None:
            agent.last_heard = self.clock()
            self._agents.move_to_end(name)

    def agents(self) -> list[HeardAgent]:
        """Who was heard lately, by cluster and name."""
        self._forget(self.clock())
        return [agent for _, agent in sorted(self._agents.items())]

    def _keep(self, agent: HeardAgent, data: bytes, now: float) -> None:
        if len(data) > LARGEST_REPORT:
            self.lost["report_large"] += 1
            return
        if self._bytes - agent.size + len(data) > self._maximum_bytes:
            self.lost["report_full"] += 1
            return
        report = read_report(data)
        if agent.report is not None and report.told < agent.report.told and now - agent.reported < CURRENT:
            # It waited in a spool, and another one overtook it.
            self.lost["report_outdated"] += 1
            return
        self._bytes += len(data) - agent.size
        agent.before, agent.report, agent.reported, agent.size = agent.report, report, now, len(data)

    def _forget(self, now: float) -> None:
        while self._agents:
            name, agent = next(iter(self._agents.items()))
            if now - agent.last_heard < FORGOTTEN_AFTER:
                return
            del self._agents[name]
            self._bytes -= agent.size
            self.forgotten += 1
