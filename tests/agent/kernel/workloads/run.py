"""Known workloads, each in a process of its own: `python run.py NAME [JSON arguments]`.

The process says "ready", waits for a line on its standard input, does the work, prints what it did as one JSON object,
and ends. Everything that it prints is what the kernel told it (byte counts, ports, inodes), so that a test compares two
independent sources.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))  # an isolated interpreter looks into no folder of ours

from tests.agent.kernel.workloads import connecting, datagrams, ending, transferring

KINDS = (connecting, datagrams, ending, transferring)


def main() -> None:
    work = {name: each for kind in KINDS for name, each in vars(kind).items()}[sys.argv[1]]
    arguments = json.loads(sys.argv[2])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(json.dumps(work(**arguments)) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
