"""The `pyrover-backend` command: one subcommand per module of backend/commands."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

COMMANDS = ("serve", "query", "replay")


class Command(Protocol):
    """A module of backend/commands."""

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
        prog="pyrover-backend",
        description="Receive access logs, work out who calls whom, and answer questions about it.",
    )
    parser.add_argument("--version", action="version", version=f"pyrover {_version()}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands: dict[str, Command] = {}
    for name in COMMANDS:
        command: Command = importlib.import_module(f"backend.commands.{name}")
        command.configure(subparsers.add_parser(name, help=command.SUMMARY, description=command.SUMMARY))
        commands[name] = command
    parsed = parser.parse_args(arguments)
    return commands[parsed.command].run(parsed)


if __name__ == "__main__":
    sys.exit(main())
