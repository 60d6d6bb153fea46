"""Runs a fuzz target, or lists them.

python -m tests.fuzz promql --seconds 60

A failure names the seed that repeats it. The memory of the process may grow by a gigabyte and no more.
"""

import argparse
import random
import resource
from pathlib import Path

from tests.fuzz.mutations import run_for
from tests.fuzz.targets import TARGETS

GROWTH = 1 << 30
"""Bytes."""


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=None, help="of the first input (default: any)")
    chosen = parser.parse_args()
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + GROWTH
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seed = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
    number = run_for(TARGETS[chosen.target], seed, chosen.seconds)
    print(f"{number:,} inputs from seed {seed} on, no failure")


if __name__ == "__main__":
    main()
