"""What the kernel programs and their maps are made with."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SECONDS: Final = 900.0
"""How long the child may take; it takes seconds, and under emulation minutes."""

OBJECTS: Final = Path(os.environ.get("PYROVER_OBJECTS", "/var/cache/pyrover/objects"))
"""Where compiled programs are kept: compiling is nine tenths of a start, and gives the same each time."""


@dataclass(frozen=True)
class Options:
    """What the programs and their maps are made with."""

    ring_bytes: int = 4 << 20
    in_flight_entries: int = 16384
    """Threads that may be inside a system call on a socket at the same time."""
    connecting_entries: int = 8192
    """TCP connects that may be without an outcome at the same time."""
    filter_entries: int = 1024
    """Processes that may be excluded, or chosen."""
    watched_entries: int = 16384
    """Sockets whose packages may be watched at the same time."""
    sending_entries: int = 4096
    """Threads that may have sent a package of a watched socket."""
    held_entries: int = 4096
    """Packages that queueing disciplines may hold back; the oldest is forgotten."""
    payload_bytes: int = 8 << 20
    """Of the ring of captured payload; a power of two, at least a page."""
    muted_entries: int = 4096
    """Connections that may wait to be told that no more of their bytes are wanted."""
    tls_threads: int = 4096
    """Threads that may have called a TLS library, and goroutines that may be inside a call."""
    tls_sessions: int = 16384
    """TLS sessions whose sockets are known at the same time."""
    mapped_bytes: int = 64 << 10
    """Of the ring of files that processes begin to run code from; a power of two, at least a page."""
    known_files: int = 4096
    """Files that are not told again; that which is not used for longest is."""
    only_chosen: bool = False
    """Whether only chosen processes are watched."""
    objects: Path | None = OBJECTS
    """Where compiled programs are kept for the next start; None keeps none."""
    seconds: float = field(default=SECONDS)

    def entries(self) -> dict[str, int]:
        """Sizes of maps; those of the rings in bytes.

        Raises:
            ValueError: A ring is not a power of two, or smaller than a page.
        """
        page = os.sysconf("SC_PAGE_SIZE")
        for size in (self.ring_bytes, self.payload_bytes, self.mapped_bytes):
            if size < page or size & (size - 1):
                raise ValueError(f"ring of {size} bytes: give a power of two, at least {page}")
        return {
            "events": self.ring_bytes,
            "payloads": self.payload_bytes,
            "muted_sockets": self.muted_entries,
            "calls": self.in_flight_entries,
            "transfers": self.in_flight_entries,
            "connecting": self.connecting_entries,
            "connect_first": self.connecting_entries,
            "excluded_processes": self.filter_entries,
            "listeners": self.filter_entries,
            "watched_sockets": self.watched_entries,
            "sending_contexts": self.sending_entries,
            "held_packages": self.held_entries,
            "tls_threads": self.tls_threads,
            "go_calls": self.tls_threads,
            "tls_sessions": self.tls_sessions,
            "mapped_files": self.mapped_bytes,
            "known_files": self.known_files,
            **({"chosen_processes": self.filter_entries} if self.only_chosen else {}),
        }

    def defines(self) -> dict[str, str]:
        """Macros of the C text."""
        return {"ONLY_CHOSEN_PROCESSES": "1"} if self.only_chosen else {}
