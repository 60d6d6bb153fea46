"""Every figure that the agent tells of itself, declared once.

Names follow Prometheus: base units, `_total` for what only grows, and the established names for what any process has.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """How a figure develops."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True)
class Family:
    """A figure, with a series for each combination of its labels.

    Attributes:
        name: as it is told.
        kind: how it develops.
        meaning: what it is, in a sentence.
        labels: names of its labels, in the order in which values are given.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


def _counter(name: str, meaning: str, *labels: str) -> Family:
    return Family(name, Kind.COUNTER, meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Family:
    return Family(name, Kind.GAUGE, meaning, labels)


BUILD = _gauge(
    "pyrover_agent_build_info",
    "Always 1; the labels say which agent runs on which kernel, and where it learned the layout of kernel structs.",
    *("version", "kernel", "machine", "attach", "structs_from"),
)
READY = _gauge(
    "pyrover_agent_ready", "Whether the agent is attached, takes events and delivers; what /healthz answers."
)

HOOK = _gauge(
    "pyrover_agent_hook_attached",
    "Whether a hook is attached, and by which kind of source; docs/hooks.md says what is lost without it.",
    *("hook", "stage", "source"),
)
STATISTICS = _gauge(
    "pyrover_agent_program_statistics_enabled",
    "Whether the kernel measures programs, by telemetry.program_statistics or by kernel.bpf_stats_enabled.",
)
PROGRAM_SECONDS = _counter(
    "pyrover_agent_program_run_seconds_total",
    "Time spent in a BPF program on all processors, while the kernel measures it.",
    *("program", "source"),
)
PROGRAM_RUNS = _counter(
    "pyrover_agent_program_runs_total", "Runs of a BPF program, while the kernel measures it.", *("program", "source")
)
PROGRAM_SKIPPED = _counter(
    "pyrover_agent_program_skipped_total",
    "Runs of a BPF program that the kernel left out because one was running on that processor already.",
    *("program", "source"),
)

EVENTS = _counter("pyrover_agent_events_total", "Events taken from the kernel's ring.")
EVENTS_LOST = _counter(
    "pyrover_agent_events_lost_total", "Events lost in the kernel before they could be taken, by cause.", "cause"
)
LOGS_CAPTURED = _counter(
    "pyrover_agent_logs_captured_total", "Access logs made: delivered, lost, withdrawn, or still waiting."
)
LOGS_DELIVERED = _counter("pyrover_agent_logs_delivered_total", "Access logs that the backend has answered for.")
LOGS_LOST = _counter("pyrover_agent_logs_lost_total", "Access logs given up, by cause.", "cause")
LOGS_WITHDRAWN = _counter(
    "pyrover_agent_logs_withdrawn_total",
    "Access logs of processes that turned out to be excluded, which nothing is told of.",
)
PENDING = _gauge("pyrover_agent_pending_logs", "Access logs that wait for the next flush or for the names of pods.")
QUEUE_LOGS = _gauge("pyrover_agent_queue_logs", "Access logs queued for the backend, those under way included.")
QUEUE_LOGS_LIMIT = _gauge("pyrover_agent_queue_limit_logs", "Access logs that may be queued (limits.queue_logs).")
QUEUE_BYTES = _gauge("pyrover_agent_queue_bytes", "Size of the queued batches, in memory and in the spool.")
QUEUE_BYTES_LIMIT = _gauge("pyrover_agent_queue_limit_bytes", "Size that may be queued in memory (limits.queue_bytes).")
SPOOL_BYTES = _gauge("pyrover_agent_spool_bytes", "Size of the queued batches that are in the spool.")
SPOOL_BYTES_LIMIT = _gauge("pyrover_agent_spool_limit_bytes", "Size that may be in the spool (spool.bytes).")
SPOOL_FAILURES = _counter(
    "pyrover_agent_spool_failures_total",
    "Batches that could not be put into the spool and stay in memory, and changes of its ledger that were not kept.",
    "what",
)
QUEUE_BATCHES = _gauge("pyrover_agent_queue_batches", "Batches queued for the backend, the one under way included.")
ATTEMPTS = _counter(
    "pyrover_agent_send_attempts_total", "Attempts to deliver a batch, by what became of them.", "outcome"
)
ATTEMPT_SECONDS = _counter("pyrover_agent_send_seconds_total", "Time spent in attempts to deliver a batch.")
BATCHES = _counter("pyrover_agent_batches_delivered_total", "Batches that the backend has answered for.")
DELIVERED_BYTES = _counter("pyrover_agent_delivered_bytes_total", "Size of the batches that were delivered.")
BACKEND_CONNECTIONS = _counter(
    "pyrover_agent_backend_connections_total",
    "Connections made to a backend to deliver logs; each after the first is a reconnect.",
    "backend",
)
BACKEND_FAILURES = _counter(
    "pyrover_agent_backend_failures_total", "Calls that were not answered with OK, by backend.", "backend"
)
BACKEND_MOVES = _counter(
    "pyrover_agent_backend_moves_total", "How often one backend was left for another after a failure."
)

INCOMPLETE = _counter(
    "pyrover_agent_incomplete_total",
    "Things told with less than they should say, by part of the agent and by what they lack.",
    *("part", "cause"),
)
TROUBLES = _counter("pyrover_agent_connection_troubles_total", "What went wrong on connections, by kind.", "trouble")
ADDRESSES_WITHOUT_ROOM = _gauge(
    "pyrover_agent_node_addresses_without_room", "Addresses of this node that the backend is not told at the moment."
)
CONNECTIONS = _gauge("pyrover_agent_connections", "Connections that are followed.")
CONNECTIONS_LIMIT = _gauge("pyrover_agent_connections_limit", "Connections that may be followed (limits.connections).")
CONNECTIONS_EVICTED = _counter(
    "pyrover_agent_connections_evicted_total", "Open connections that were forgotten because there were too many."
)
PROCESSES = _gauge("pyrover_agent_processes", "Processes that are known.")
PROCESSES_EVICTED = _counter(
    "pyrover_agent_processes_evicted_total", "Processes that were forgotten because there were too many."
)
CONVERSATIONS = _gauge("pyrover_agent_conversations", "Connections and TLS sessions whose exchanges are being read.")
TLS_FILES = _gauge("pyrover_agent_tls_files", "Programs and libraries that have probes to read plain text of TLS.")
NAMESPACES = _gauge(
    "pyrover_agent_conntrack_namespaces", "Network namespaces whose connection tracking is listened to."
)
STEP_AGE = _gauge(
    "pyrover_agent_step_age_seconds",
    "Time since the pipeline last said how far it is; some tenths of a second while all is well.",
)

MESSAGES = _counter("pyrover_agent_messages_total", "Messages of the agent, written or not, by level.", "level")
MESSAGES_WITHHELD = _counter(
    "pyrover_agent_messages_withheld_total", "Messages that were counted and not written, as they repeat.", "level"
)
REQUESTS = _counter("pyrover_agent_status_requests_total", "Answers to questions about the agent, by status.", "status")
REQUESTS_LOST = _counter(
    "pyrover_agent_status_requests_lost_total", "Questions about the agent that were not answered, by cause.", "cause"
)

CPU_SECONDS = _counter("process_cpu_seconds_total", "Processor time of the agent, of both user and system.")
RESIDENT = _gauge(
    "process_resident_memory_bytes", "Resident memory of the agent; the rings are mapped and counted twice."
)
VIRTUAL = _gauge("process_virtual_memory_bytes", "Virtual memory of the agent.")
START_TIME = _gauge("process_start_time_seconds", "When the agent started, in seconds since the epoch.")
OPEN_FILES = _gauge("process_open_fds", "Open descriptors of the agent.")
MOST_FILES = _gauge("process_max_fds", "Descriptors that the agent may have open.")
THREADS = _gauge("process_threads", "Threads of the agent.")

FAMILIES: Final = tuple(value for value in list(globals().values()) if isinstance(value, Family))
"""All of them, in the order in which they are told."""
