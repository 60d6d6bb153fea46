"""Every command of every page runs: in a network of its own with a backend in it, from a folder of its own.

What cannot be run so (it changes the machine, or needs a cluster, a package archive or minutes) carries the reason on
the page; of these and of commands within sentences it is checked that targets, files, modules and options exist.
"""

import argparse
import doctest
import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from agent.cli import COMMANDS as AGENT
from backend.cli import COMMANDS as BACKEND
from tests.e2e.programs import program, read_line
from tests.scripts import page_traffic
from tests.scripts.page_commands import BEGINS_A_COMMAND, BLOCKS, PAGES, PROMPT, ROOT, Block, blocks, outside_of_fences

RUN = [block for block in BLOCKS if block.has_commands and not block.reason]
PROGRAMS = Path(sys.executable).parent
PACKAGES = {"pyrover-agent": ("agent.commands", AGENT), "pyrover-backend": ("backend.commands", BACKEND)}
COMMAND_LINE = re.compile(r"(?:^|[\s/])(pyrover-(?:agent|backend)) ([a-z]+)(?![\w-])((?:[^\n&|]|\\\n)*)")
COUNTER = re.compile(r"\bpyrover_(?:agent|backend|analysis|kubernetes|addresses|graphql|promql|otlp)_[a-z_]*[a-z]\b")
_BETWEEN = "\x1e"
"""Printed after each command; no output has it."""
_SECONDS = 500
"""A bound on one block, not an expectation."""
_LATELY = 300.0
"""Seconds. Most questions are about the last quarter of an hour; a busy machine takes longer for all pages."""


@dataclass
class Place:
    """Where commands run: a network of their own, with a backend on the standard ports."""

    enter: tuple[str, ...]
    """What a command line begins with to run there."""
    folder: Path
    environment: dict[str, str]
    sent: float = -math.inf
    """When the backend was sent what is asked about, by the clock of the system since its start."""

    def send(self) -> None:
        """Send the backend what is asked about, unless it got that lately."""
        if time.monotonic() - self.sent < _LATELY:
            return
        self.sent = time.monotonic()
        traffic = self.folder / "traffic.pyrover"
        page_traffic.record(traffic)
        command: list[str | Path] = [PROGRAMS / "pyrover-backend", "replay", traffic, "--to", "127.0.0.1:11800"]
        replay = [*self.enter, *command]
        subprocess.run(replay, check=True, capture_output=True, timeout=_SECONDS)

    def run(self, page: Path, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script of bash in the page's copy of the checkout; errors go where output goes."""
        return subprocess.run(
            [*self.enter, "bash", "-euo", "pipefail", "-c", script],
            cwd=checkout(self.folder / page.name),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )


def checkout(folder: Path) -> Path:
    """A copy of the checkout, without tests; what is written there stays there."""
    if not folder.exists():
        shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(".*", "tests", "__pycache__"))
        (folder / ".venv").symlink_to(PROGRAMS.parent)
    return folder


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the caller's but where programs are. `sudo` is what a user who is root already has no need of."""
    tools = folder / "tools"
    tools.mkdir()
    (tools / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tools / "sudo").chmod(0o755)
    home = folder / "home"
    home.mkdir()
    return {
        "PATH": f"{tools}:{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("pages")
    unshare = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no network of its own can be made here: needs root, or user namespaces")
    environment = _environment(folder)
    with ExitStack() as stack:
        holder = stack.enter_context(
            program(
                [*unshare, "sh", "-c", "ip link set lo up && echo up && exec cat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert holder.stdout is not None
        assert read_line(holder.stdout.fileno(), "the network").strip() == "up"
        user = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")
        enter = ("nsenter", "--target", str(holder.pid), "--net", *user, "--")
        reading, announce = os.pipe()
        ready = stack.enter_context(os.fdopen(reading))
        command = [*enter, PROGRAMS / "pyrover-backend", "serve", "--host", "127.0.0.1", "--data", folder / "data"]
        log = stack.enter_context((folder / "backend.log").open("wb"))
        stack.enter_context(
            program([*command, "--ready-fd", str(announce)], stdout=log, stderr=log, pass_fds=(announce,))
        )
        os.close(announce)
        assert ready.readline(), f"the backend ended; its log: {log.name}"
        yield Place(enter, folder, environment)


def _parameters() -> list[object]:
    marks = {True: [pytest.mark.kernel], False: []}
    return [pytest.param(block, id=str(block), marks=marks[block.needs_the_kernel]) for block in RUN]


@pytest.mark.parametrize("block", _parameters())
def test_the_commands_of_a_page_run_and_print_what_it_shows(block: Block, place: Place) -> None:
    commands = block.commands
    if re.search(r"^curl ", block.text, re.MULTILINE) and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    assert commands, f"{block}: no line begins with '{PROMPT}'"
    assert not block.status or len(commands) == 1, f"{block}: a status is of one command"
    script = "".join(f"{command.text}\nprintf '{_BETWEEN}'\n" for command in commands)
    place.send()
    done = place.run(block.page, script)
    assert done.returncode == block.status, f"{block}: status {done.returncode}\n{done.stdout}"
    for command, printed in zip(commands, done.stdout.split(_BETWEEN), strict=False):
        if command.shown:
            assert is_shown(command.shown, printed), f"{block}: {command.text}printed\n{printed}"


def is_shown(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed: `...` is anything, any blanks are as good as others."""
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(shown, printed, options)


def test_every_counter_that_a_page_names_is_in_the_programs(place: Place) -> None:
    read = 'import urllib.request as of; print(of.urlopen("http://127.0.0.1:12800/metrics").read().decode())'
    told = place.run(ROOT / "README.md", f"python3 -c '{read}'").stdout
    assert "pyrover_backend_logs_received_total" in told
    folders = ("agent", "backend", "common")
    sources = "\n".join(file.read_text() for folder in folders for file in (ROOT / folder).rglob("*.py"))
    # Some are told only where something is switched on, as it is where this page is compared (test_metrics_page.py).
    figures = (ROOT / "docs" / "backend-metrics.md").read_text()
    for page in PAGES:
        for counter in set(COUNTER.findall(page.read_text())):
            name = re.sub(r"_(total|bucket|sum|count)$", "", counter)
            # The agent's begin with one word, which its sources write once.
            known = name in told or f"`{counter}`" in figures or name.removeprefix("pyrover_agent_") in sources
            assert known, f"{page.name}: {counter}"


def test_what_is_not_run_says_why() -> None:
    for block in BLOCKS:
        assert not block.reason or len(block.reason.split()) >= 3, block
        assert not block.reason or block.has_commands, f"{block}: only commands can be run"


def test_every_command_is_fenced_as_one() -> None:
    for block in BLOCKS:
        if block.language == "":
            assert not any(map(BEGINS_A_COMMAND.match, block.text.splitlines())), f"{block}: fence it as sh or console"
    for page in PAGES:
        for number, line in outside_of_fences(page):
            indented = line.startswith("    ") and BEGINS_A_COMMAND.match(line)
            assert not indented, f"{page.name}:{number}: fence it as sh or console"


def mentions() -> Iterator[tuple[str, str]]:
    """Commands within sentences, and those that are not run, each with its place."""
    for page in PAGES:
        for number, line in outside_of_fences(page):
            yield from ((f"{page.name}:{number}", text) for text in re.findall(r"`([^`]+)`", line))
    for block in BLOCKS:
        if block.has_commands and block.reason:
            yield from ((str(block), command.text) for command in block.commands)


def test_targets_modules_and_files_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    checked = 0
    for place, text in mentions():
        for target in re.findall(r"(?:^|[\s&;]|sudo )make (?!install)([a-z][\w-]*)", text):
            assert target in targets, f"{place}: make {target}"
            checked += 1
        for module in re.findall(r"python -m ((?:agent|backend|bench|deploy|scripts)[\w.]*)", text):
            assert importlib.util.find_spec(module), f"{place}: {module}"
            checked += 1
        for file in re.findall(r"(?:^|\s)((?:bench|deploy|scripts)/[\w/]+(?:\.py)?)(?=$|\s)", text):
            assert (ROOT / file).exists(), f"{place}: {file}"
            checked += 1
    assert checked > 40


def test_options_of_measurements_that_pages_name_exist() -> None:
    checked = 0
    for place, text in mentions():
        for name, rest in re.findall(r"\bbench[./](\w+)(?:\.py)?((?: [^&|]*)?)", text):
            for option in re.findall(r"(?<!\S)(--[a-z-]+)", rest):
                assert f'"{option}"' in (ROOT / "bench" / f"{name}.py").read_text(), f"{place}: {name} {option}"
                checked += 1
    assert checked > 3


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a program's subcommand, those of its own subcommands included."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {option for of in action.choices.values() for option in options_of(of)}
    return found


@cache
def options_of_command(program: str, command: str) -> set[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module(f"{PACKAGES[program][0]}.{command}").configure(parser)
    return options_of(parser)


def test_subcommands_and_options_that_pages_name_exist() -> None:
    checked = 0
    for place, text in mentions():
        for name, command, rest in COMMAND_LINE.findall(text):
            assert command in PACKAGES[name][1], f"{place}: {name} {command}"
            for option in re.findall(r"(?<!\S)(--[a-z-]+)", rest):
                assert option in options_of_command(name, command), f"{place}: {name} {command} {option}"
            checked += 1
    assert checked > 15


@pytest.mark.parametrize("language", ["sh", "console"])
def test_a_block_is_read_with_its_remark(tmp_path: Path, language: str) -> None:
    prompt = PROMPT if language == "console" else ""
    page = tmp_path / "page.md"
    page.write_text(f"<!-- not run: needs a cluster -->\n```{language}\n{prompt}kubectl get pods\n```\n")
    (block,) = blocks(page)
    assert (block.line, block.language, block.reason, block.status) == (2, language, "needs a cluster", 0)
    assert [command.text for command in block.commands] == ["kubectl get pods\n"]


def test_output_and_continued_lines_belong_to_their_command(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- status: 3 -->\n\n```console\n$ one \\\n    two\nprinted\n$ three\n```\n")
    (block,) = blocks(page)
    first, second = block.commands
    assert (first.text, first.shown, second.text, second.shown) == ("one \\\n    two\n", "printed\n", "three\n", "")
    assert block.status == 3


def test_what_was_not_printed_is_noticed() -> None:
    assert is_shown("a  1\n...\nc\n", "a 1\nb\nc\n")
    assert not is_shown("a 1\nc\n", "a 1\nb\nc\n")


def test_a_command_that_fails_is_noticed(place: Place, tmp_path: Path) -> None:
    page = tmp_path / "failing.md"
    assert place.run(page, "true\nfalse\ntrue").returncode == 1
    assert place.run(page, "true").returncode == 0
