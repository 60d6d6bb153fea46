"""A program whose subcommands are modules, of which only the one asked for is imported."""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from common.version import installed_version


class Command(Protocol):
    """A module that is a subcommand."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the return value is the exit status."""


def run_program(
    name: str, description: str, package: str, commands: Mapping[str, str], arguments: Sequence[str] | None = None
) -> int:
    """Run one subcommand and return its exit status.

    Args:
        name: the program's name.
        description: what it is, in a sentence.
        package: the package that holds a module per subcommand.
        commands: what each subcommand does, in a sentence, by its name.
        arguments: the command line without the program's name; by default this process's.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--version", action="version", version=f"pyrover {installed_version() or 'not installed'}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # The program's own options take no values, so the first word that is no option is the command.
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    command: Command | None = None
    for other, summary in commands.items():
        subparser = subparsers.add_parser(other, help=summary, description=summary)
        if other == asked:
            command = importlib.import_module(f"{package}.{other}")
            command.configure(subparser)
    parsed = parser.parse_args(arguments)
    if command is None:  # argparse has refused everything else
        raise AssertionError(parsed.command)
    return command.run(parsed)
