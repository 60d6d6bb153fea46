"""The `pyrover-agent` command: one subcommand per module of agent/commands."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

COMMANDS = ("run", "record", "replay", "doctor")


class Command(Protocol):
    """A module of agent/commands."""

    SUMMARY: str
    """One line for the list of commands."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the return value is the exit status."""


def _version() -> str:
    try:
        return version("pyrover")
    except PackageNotFoundError:
        return "not installed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="pyrover-agent",
        description="Watch the network calls of every process on this machine and stream them as access logs.",
    )
    parser.add_argument("--version", action="version", version=f"pyrover {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands: dict[str, Command] = {}
    for name in COMMANDS:
        command: Command = importlib.import_module(f"agent.commands.{name}")
        command.configure(subparsers.add_parser(name, help=command.SUMMARY, description=command.SUMMARY))
        commands[name] = command
    parsed = parser.parse_args(arguments)
    return commands[parsed.command].run(parsed)


if __name__ == "__main__":
    sys.exit(main())
