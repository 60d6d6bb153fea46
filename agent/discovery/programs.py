"""What program a process runs: its name, which for an interpreter is that of the script or archive, and its kind."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from agent.tls.elf import ElfError, ElfFile

_GO_SECTION = ".go.buildinfo"
"""Every linker of Go writes it since 1.13; stripping leaves it."""

_INTERPRETER = re.compile(
    r"(?P<name>python|pypy|perl|ruby|node|nodejs|php|java|bash|dash|sh|zsh)[0-9.]*(?:-(?:cgi|fpm))?"
)
_EXTENSION = re.compile(r"\.(?:py|pyc|pyz|pl|rb|js|mjs|cjs|php|jar|sh)$")

# Options whose value is the next argument, by interpreter. What is not listed here has none, or has it attached.
_WITH_VALUE = {
    "python": {"-W", "-X", "--check-hash-based-pycs"},
    "pypy": {"-W", "-X"},
    "perl": {"-I"},
    "ruby": {"-I", "-r", "-C", "-E"},
    "node": {"-r", "--require", "--import", "--loader"},
    "nodejs": {"-r", "--require", "--import", "--loader"},
    "php": {"-c", "-d", "-z"},
    "java": {"-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"},
}
_NAMES_PROGRAM = {"python": "-m", "pypy": "-m", "java": "-jar", "php": "-f"}
"""The option whose value is the program."""
_INLINE = {"-c", "-e", "-E", "-p", "--eval", "--print", "-r", "-"}
"""Options that bring the program along: it has no name."""


def program_name(executable: str, arguments: Sequence[str]) -> str:
    """The name of a program.

    Args:
        executable: path of the process's executable file; may be empty.
        arguments: its arguments, the program's own name first.

    Returns:
        The script, module, archive or class that a known interpreter was started with; else the name of the
        executable; empty when that is not known.
    """
    name = PurePosixPath(executable).name
    interpreter = _INTERPRETER.fullmatch(name)
    return (_interpreted(interpreter["name"], arguments[1:]) if interpreter else "") or name


def is_go_program(path: str) -> bool:
    """Whether an executable file is a program written in Go; False when it cannot be read."""
    try:
        with ElfFile(path) as elf:
            return elf.section(_GO_SECTION) is not None
    except (OSError, ElfError):
        return False


def _interpreted(interpreter: str, arguments: Sequence[str]) -> str:
    values = _WITH_VALUE.get(interpreter, set())
    rest = iter(arguments)
    for argument in rest:
        if argument == _NAMES_PROGRAM.get(interpreter):
            return _plain(next(rest, ""))
        if argument in values:
            next(rest, None)
        elif argument in _INLINE:
            return ""
        elif not argument.startswith("-"):
            plain = _plain(argument)
            return plain.rpartition(".")[2] if interpreter == "java" else plain  # a class comes with its packages
    return ""


def _plain(argument: str) -> str:
    """A script's or archive's file name without its extension; a module's name as it is."""
    return _EXTENSION.sub("", PurePosixPath(argument).name)
