"""agent/kernel/loader.py and its child: what is handed over, and every way in which that can fail."""

import os
import re
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.kernel import bpf_maps, bpf_programs, loader
from agent.kernel.hooks import HOOKS
from agent.kernel.loader import LoaderError, find_interpreter, load
from agent.kernel.loader_options import SECONDS, Options
from agent.kernel.plan import AttachMode, Plan, examine_kernel, make_plan
from tests.agent.kernel.watching import ATTACH, open_source
from tests.descriptors import open_files


@pytest.fixture(scope="module")
def plan() -> Plan:
    hooks = tuple(hook for hook in HOOKS if hook.name in {"read", "close"})
    return make_plan(examine_kernel(), ATTACH, hooks)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of bpf/ to break."""
    folder = tmp_path / "bpf"
    shutil.copytree(loader.PROGRAMS_FOLDER, folder)
    monkeypatch.setattr(loader, "PROGRAMS_FOLDER", folder)
    return folder


def interpreter(folder: Path, body: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.kernel
def test_everything_that_was_asked_for_is_handed_over(plan: Plan) -> None:
    before = open_files()
    loaded = load(plan, Options(ring_bytes=1 << 16, in_flight_entries=77))
    handlers = sorted(program.attachments[0].handler for program in loaded.programs)
    assert handlers == ["enter_close", "enter_read", "exit_close", "exit_transfer"]
    assert set(loaded.attachments) == set(plan.attachments)
    assert loaded.refused == {}
    assert loaded.messages == ""
    assert "BTF" in loaded.structs_from
    assert bpf_maps.map_information(loaded.maps["events"]).entries == 1 << 16
    assert bpf_maps.map_information(loaded.maps["transfers"]).entries == 77
    names = {bpf_programs.program_information(descriptor).name for descriptor in loaded.programs.values()}
    assert {name.partition("__")[0] for name in names} == set(handlers)
    loaded.close()
    assert open_files() - before == set()


@pytest.mark.kernel
def test_a_refused_program_does_not_stop_the_others(programs: Path) -> None:
    source = programs / "close.c"
    begin = "int exit_close_range(long result)\n{\n"
    text = source.read_text()
    assert begin in text
    source.write_text(text.replace(begin, f"{begin}    if (*(volatile int *)1234567)\n        return 0;\n"))
    before = open_files()
    with open_source(only_processes=()) as opened:
        missing = next(planned for planned in opened.coverage.hooks if planned.hook.name == "close_range")
        assert not missing.is_attached
        tried = [reason for reason in missing.reasons.values() if "invalid" in reason]
        assert tried
        if ATTACH is AttachMode.AUTO:  # one way after the other
            offer = opened.coverage.offer
            assert len(tried) == sum(not offer.reason_against(source) for source in missing.hook.sources)
        handlers = {attachment.handler for _, attachment in opened.loaded.attachments}
        assert not handlers & {"enter_close_range", "exit_close_range"}
        assert handlers >= {"enter_read", "enter_close", "exit_close"}
    assert open_files() - before == set()


@pytest.mark.kernel
def test_a_program_that_does_not_compile_is_shown_with_its_line(programs: Path, plan: Plan) -> None:
    (programs / "accept.c").write_text("\n\nint broken = ;\n")
    before = open_files()
    with pytest.raises(LoaderError, match=r"bpf/accept.c:3:\d+: error: ") as caught:
        load(plan, Options())
    assert "pyrover-agent doctor" in str(caught.value)
    assert open_files() - before == set()


@pytest.mark.kernel
@pytest.mark.skipif(
    Path(f"/lib/modules/{os.uname().release}/build").exists() or Path("/sys/kernel/kheaders.tar.xz").exists(),
    reason="this kernel's headers are installed",
)
def test_a_kernel_without_btf_and_headers(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "VMLINUX", tmp_path / "vmlinux")
    with pytest.raises(
        LoaderError, match=f"(?s)does not describe itself.*linux-headers-{re.escape(os.uname().release)}"
    ):
        load(plan, Options())


@pytest.mark.kernel
def test_a_record_of_another_layout_does_not_compile(programs: Path, plan: Plan) -> None:
    events = programs / "events.h"
    events.write_text(events.read_text().replace("u64 bytes;", "u32 bytes;"))
    with pytest.raises(LoaderError, match=r"layout of event\.bytes"):
        load(plan, Options())


@pytest.mark.kernel
def test_without_privileges_the_reason_is_told() -> None:
    """As another user, in a process of its own that cannot take back what it gave up."""
    program = """
import os
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
from agent.kernel.loader import LoaderError
from agent.kernel.source import KernelSource
try:
    KernelSource.open()
except LoaderError as error:
    print(error)
"""
    root = Path(loader.__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.startswith("nothing can be attached to this kernel")
    assert "root" in answer.stdout


@pytest.mark.kernel
def test_a_child_that_takes_too_long_is_ended(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "find_interpreter", lambda: interpreter(tmp_path, "exec sleep 1000"))
    before = open_files()
    with pytest.raises(LoaderError, match=r"did not finish within 0\.2 s"):
        load(plan, Options(seconds=0.2))
    assert open_files() - before == set()


def test_a_child_that_dies_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "find_interpreter", lambda: interpreter(tmp_path, "echo went wrong >&2; exit 3"))
    with pytest.raises(LoaderError, match="ended with status 3 and no report: went wrong"):
        load(make_plan(examine_kernel()), Options())


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_without_a_folder_to_write_to_the_advice_is_told(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a unit or a pod with a root file system that is read only, and nothing mounted at /tmp."""
    closed = " && ".join(
        f"mount --bind {place} {place} && mount -o remount,ro,bind {place}"
        for place in ("/tmp", "/var/tmp")  # noqa: S108 - made read only
    )
    commands = f'{closed} && cd /proc && exec {find_interpreter()} "$@"'
    script = f"exec unshare --mount sh -c '{commands}' sh \"$@\""
    monkeypatch.setattr(loader, "find_interpreter", lambda: interpreter(tmp_path, script))
    monkeypatch.delenv("TMPDIR", raising=False)
    with pytest.raises(LoaderError, match=r"(?s)No usable temporary directory.*give it a /tmp"):
        load(plan, Options())


def test_an_interpreter_without_bcc_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "_INTERPRETERS", (interpreter(tmp_path, "exit 1"), "no-such-python"))
    with pytest.raises(LoaderError, match="apt-get install python3-bpfcc"):
        find_interpreter()


@pytest.mark.parametrize("text", ["neither a program nor a script", "#!/bin/sh\nexec sleep 1000\n"])
def test_an_interpreter_that_cannot_be_used_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """One that does not run, and one that does not end."""
    bad, good = tmp_path / "bad", tmp_path / "good"
    patience = iter((0.5, SECONDS))
    run = subprocess.run
    bad.write_text(text)
    good.write_text("#!/bin/sh\nexit 0\n")
    for path in (bad, good):
        path.chmod(0o755)
    monkeypatch.setattr(subprocess, "run", lambda *command, **how: run(*command, **how | {"timeout": next(patience)}))
    monkeypatch.setattr(loader, "_INTERPRETERS", (str(bad), str(good)))
    assert find_interpreter() == str(good)


def test_what_was_handed_over_is_closed_when_the_rest_finds_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = "import socket, sys; socket.send_fds(socket.socket(fileno=int(sys.argv[3])), [b'+'], [0] * 250)"
    script = f'exec {sys.executable} -c "{send}" "$@"'
    monkeypatch.setattr(loader, "find_interpreter", lambda: interpreter(tmp_path, script))
    plan = make_plan(examine_kernel())
    before = open_files()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) + 60, limits[1]))
    try:
        with pytest.raises(LoaderError, match="raise the limit on open files"):
            load(plan, Options())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert open_files() - before == set()


@pytest.mark.parametrize("size", [0, 100, 4095, 12288])
def test_a_ring_of_an_impossible_size(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        Options(ring_bytes=size).entries()
