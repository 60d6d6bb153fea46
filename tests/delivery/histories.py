"""Simulate many histories of delivery: `python -m tests.delivery.histories --count 5000 --seed 1`.

Prints what happened in them, also when it is interrupted, after the history that it is at, and stops at the first in
which a promise is broken, with its seed.
"""

import argparse
import signal
import time
from collections import Counter

from tests.delivery.simulation import MEDIA, History, simulate

HELP = "by default every tenth is of DuckDB, and three in ten are of two backends that share a store"


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000, help="how many histories (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the first one; the next has the next number")
    parser.add_argument("--store", choices=(*MEDIA, "all"), default="all", help=HELP)
    arguments = parser.parse_args()
    began = time.perf_counter()
    totals: Counter[str] = Counter()
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        medium = arguments.store
        if medium == "all":
            medium = {0: "duckdb", 3: "shared", 6: "shared", 9: "shared"}.get(seed % 10, "memory")
        totals.update(_figures(simulate(seed, medium)))
        if interrupts:
            break
    for name, count in totals.items():
        print(f"{name:24}{count:10,}")
    print(f"{'seconds':24}{time.perf_counter() - began:10,.1f}")


def _figures(history: History) -> dict[str, int]:
    return {
        "histories": 1,
        "logs captured": history.captured,
        "logs delivered": history.delivered,
        "logs stored": history.stored,
        "batches acknowledged": history.acknowledged,
        "agents killed": history.agent_deaths,
        "backends killed": history.backend_deaths,
        **{f"logs lost, {cause}": count for cause, count in history.lost.items()},
    }


if __name__ == "__main__":
    main()
