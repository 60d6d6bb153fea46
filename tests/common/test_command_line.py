import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.command_line import run_program

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"greet": "Say hello.", "break": "Cannot be imported."}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program of two commands, one of which does not even compile."""
    folder = tmp_path / "a_program_of_tests"
    folder.mkdir()
    (folder / "greet.py").write_text(
        "def configure(parser): parser.add_argument('--name', default='you')\n"
        "def run(arguments): print('hello', arguments.name); return 3\n"
    )
    (folder / "break.py").write_text("this is not Python")
    monkeypatch.syspath_prepend(tmp_path)
    return folder.name


def test_the_command_runs_with_its_arguments_and_decides_the_status(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_program("program", "Does things.", package, COMMANDS, ["greet", "--name", "world"]) == 3
    assert capsys.readouterr().out == "hello world\n"


def test_other_commands_are_not_imported(package: str) -> None:
    assert run_program("program", "Does things.", package, COMMANDS, ["greet"]) == 3
    assert f"{package}.break" not in sys.modules


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_help_lists_every_command_without_importing_any(
    package: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_program("program", "Does things.", package, COMMANDS, arguments)
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"{name}" in text and summary in text for name, summary in COMMANDS.items())


@pytest.mark.parametrize(("arguments", "said"), [([], "COMMAND"), (["gret"], "invalid choice: 'gret'")])
def test_a_wrong_command_is_an_error_that_names_the_choices(
    package: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_program("program", "Does things.", package, COMMANDS, arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("program", ["pyrover-agent", "pyrover-backend"])
def test_the_installed_programs_explain_themselves(program: str) -> None:
    path = Path(sys.executable).with_name(program)
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("pyrover ")


def ended(command: str, folder: Path, stdout: int | None = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """A program whose one command does what is written here."""
    (folder / "commands").mkdir()
    work = f"def configure(parser): pass\ndef run(arguments): {command}; return 0"
    (folder / "commands" / "work.py").write_text(work)
    program = "import sys; from common.command_line import run_program as run\n"
    program += "sys.exit(run('program', 'Does things.', 'commands', {'work': 'Work.'}, ['work']))"
    environment = {"PYTHONPATH": f"{ROOT}:{folder}"}
    command_line = [sys.executable, "-c", program]
    return subprocess.run(
        command_line, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment, timeout=60, check=False
    )


def test_an_interrupt_ends_it_without_a_trace(tmp_path: Path) -> None:
    # Who is started in the background of a script has SIGINT ignored, and so have the programs that it starts.
    handled = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    done = ended(f"{handled}; signal.raise_signal(signal.SIGINT)", tmp_path)
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, "")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_whoever_stops_reading_is_told_nothing_more(tmp_path: Path, lines: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = ended(f"print('word\\n' * {lines})", tmp_path, writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


def test_another_pipe_that_is_broken_is_a_defect(tmp_path: Path) -> None:
    done = ended("raise BrokenPipeError('of something else')", tmp_path)
    assert done.returncode == 1
    assert "BrokenPipeError: of something else" in done.stderr
