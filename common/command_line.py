"""A program whose subcommands are modules, of which only the one asked for is imported."""

import argparse
import importlib
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from common.version import installed_version

_ENDED_BY = 128
"""With the number of a signal, the exit status of what it ended, as shells tell it."""


class Command(Protocol):
    """A module that is a subcommand."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; the return value is the exit status."""


def run_program(
    name: str, description: str, package: str, commands: Mapping[str, str], arguments: Sequence[str] | None = None
) -> int:
    """Run one subcommand and return its exit status, which is 128 and the number of the signal after Ctrl-C.

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
    try:
        status = command.run(parsed)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _ENDED_BY + signal.SIGINT
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        # What is left in the buffer is written at the end of the program, and would fail there again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return _ENDED_BY + signal.SIGPIPE
    return status


def _reader_is_gone() -> bool:
    """Whether nobody can read any more what is written to standard output."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return bool(poll.poll(0))
