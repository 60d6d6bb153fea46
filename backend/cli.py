"""The `pyrover-backend` command."""

import sys
from collections.abc import Sequence

from common.command_line import run_program

COMMANDS = {
    "serve": "Receive access logs from agents, store what they say, and answer questions about it.",
    "query": "Ask a running backend: who calls whom, metrics, what it received and lost, which agents there are.",
    "oal": "Check scripts of metrics, and tell what becomes of a metric.",
    "replay": "Send recorded access logs to a backend, at a chosen rate.",
}
"""Modules of backend/commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    description = "Receive access logs, work out who calls whom, and answer questions about it."
    return run_program("pyrover-backend", description, "backend.commands", COMMANDS, arguments)


if __name__ == "__main__":
    sys.exit(main())
