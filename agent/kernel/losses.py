"""The counters that the programs keep: what was lost, and what was sent incomplete.

The order is that of `enum counter` in bpf/maps.h; a test compares the two.
"""

from typing import Final

LOST: Final = (
    "ring_full",
    "in_flight_full",
    "connecting_full",
    "messages_beyond_bound",
    "accepted_not_found",
    "outcome_missed",
)
"""Each is a number of events that did not reach the ring."""

INCOMPLETE: Final = (
    "peer_unreadable",
    "bytes_unreadable",
    "stages_full",
    "sending_full",
    "payload_full",
    "payload_cut",
    "payload_unreadable",
    "tls_socket_unknown",
    "tls_sessions_full",
    "tls_calls_full",
)
"""Each is a number of events, sockets, packages, calls or fragments of payload of which user space hears less than it
should."""

COUNTERS: Final = LOST + INCOMPLETE

PROGRAM_SKIPPED: Final = "program_skipped"
"""Runs that the kernel refused because a BPF program was already running on that CPU: at most so many events lost."""

RETURN_MISSED: Final = "return_missed"
"""Returns of calls that kprobes did not follow because too many threads were inside: at most so many events lost."""
