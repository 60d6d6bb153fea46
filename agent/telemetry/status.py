"""What the agent answers when it is asked how it does."""

import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from agent.telemetry import families
from agent.telemetry.causes import Causes
from agent.telemetry.exposition import CONTENT_TYPE, Reading, render
from agent.telemetry.families import FAMILIES
from agent.telemetry.health import STUCK_SECONDS, Finding, examine, step_age
from agent.telemetry.http_server import Answer, StatusServer
from agent.telemetry.messages import RepeatFilter
from agent.telemetry.parts import Parts
from agent.telemetry.readings import read_parts
from agent.telemetry.usage import read_usage
from common.version import installed_version

FRESH_SECONDS: Final = 0.25
"""How long figures are told again instead of being read anew: asking often must cost little."""

_ORDER: Final = {family: number for number, family in enumerate(FAMILIES)}


class AgentStatus:
    """Answers from the parts of the agent, from when they are there until they end."""

    def __init__(self, attach: str, repeats: RepeatFilter) -> None:
        """Begin without parts.

        Args:
            attach: The kind of hooks that was asked for.
            repeats: Counts the messages.
        """
        self._attach = attach
        self._repeats = repeats
        self._parts: Parts | None = None
        self._rests = ""
        self._lock = threading.Lock()
        """Held while parts are asked, so that none ends meanwhile."""
        self._causes = Causes()
        self._server: StatusServer | None = None
        self._told = ""
        self._told_until = 0.0

    @property
    def answers(self) -> Mapping[str, Callable[[], Answer]]:
        """What answers, by path."""
        return {"/metrics": self.metrics, "/healthz": self.healthz, "/livez": self.livez}

    def begin(self, parts: Parts) -> None:
        """The agent is attached."""
        with self._lock:
            self._parts = parts
            self._told_until = 0.0

    def rest(self, reason: str) -> None:
        """The agent attaches nothing, and is ready so."""
        with self._lock:
            self._rests = reason

    def end(self) -> None:
        """Its parts end; they are not asked any more when this returns."""
        with self._lock:
            self._parts = None
            self._told_until = 0.0

    def count_answers_of(self, server: StatusServer) -> None:
        """Tell also of the server that asks."""
        self._server = server

    def metrics(self) -> Answer:
        """Every figure."""
        with self._lock:
            if time.monotonic() >= self._told_until:
                self._told = render(sorted(self._read(), key=lambda reading: _ORDER[reading[0]]))
                self._told_until = time.monotonic() + FRESH_SECONDS
            return Answer(self._told, content_type=CONTENT_TYPE)

    def healthz(self) -> Answer:
        """Whether the agent is ready, with what makes it so or not; status 503 when it is not."""
        with self._lock:
            findings = self._examine()
        ready = all(finding.good for finding in findings)
        lines = ["ready" if ready else "not ready"]
        lines += [f"[{'+' if finding.good else '-'}] {finding.name}: {finding.text}" for finding in findings]
        return Answer("".join(f"{line}\n" for line in lines), 200 if ready else 503)

    def livez(self) -> Answer:
        """Whether there is a point in waiting for the agent; 503 when it has got stuck and is better started again."""
        with self._lock:
            age = None if self._parts is None else step_age(self._parts, _monotonic_ns())
        if age is not None and age >= STUCK_SECONDS:
            return Answer(f"stuck: no events were taken for {age:.0f} s\n", 503)
        return Answer("alive\n")

    def _examine(self) -> list[Finding]:
        if self._rests:
            return [Finding("access logs", good=True, text=self._rests)]
        return list(examine(self._parts, _monotonic_ns()))

    def _read(self) -> Iterator[Reading]:
        parts, now_ns = self._parts, _monotonic_ns()
        structs = parts.source.loaded.structs_from if parts is not None else ""
        version = installed_version() or "not installed"
        yield families.BUILD, [((version, platform.release(), platform.machine(), self._attach, structs), 1)]
        yield families.READY, [((), int(all(finding.good for finding in self._examine())))]
        if parts is not None:
            yield from read_parts(parts, self._causes, now_ns)
        yield families.MESSAGES, [((level,), count) for level, count in dict(self._repeats.seen).items()]
        yield families.MESSAGES_WITHHELD, [((level,), count) for level, count in dict(self._repeats.withheld).items()]
        if self._server is not None:
            yield families.REQUESTS, [((status,), count) for status, count in self._server.answered.items()]
            yield families.REQUESTS_LOST, [((cause,), count) for cause, count in self._server.lost.items()]
        yield from read_usage()


def _monotonic_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
