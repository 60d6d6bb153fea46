"""What this process may do: capabilities."""

from pathlib import Path
from typing import Final

NEEDED: Final = {"CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
"""Bits by name: include/uapi/linux/capability.h. Those that loading and attaching programs takes."""


def missing_capabilities() -> tuple[str, ...]:
    """Names of `NEEDED` that this process does not have in effect."""
    status = Path("/proc/self/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return tuple(name for name, bit in NEEDED.items() if not effective >> bit & 1)
