"""The profile of the agent's system calls: it is what is declared, and the agent works under it."""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.kernel.loader_options import OBJECTS
from agent.kernel.privileges import CAPABILITIES
from deploy.seccomp.calls import CALLS, GROUPS
from deploy.seccomp.render import PROFILE, UNIT, profile, unit
from tests.agent.export.collector import Collector
from tests.deploy.confinement import confined
from tests.deploy.filtered import LIBRARY
from tests.e2e.cluster_receiver import Receiver
from tests.e2e.http.calls import Call
from tests.e2e.http.certificates import make_certificates
from tests.e2e.http.client import python_client
from tests.e2e.http.server import python_command, started
from tests.e2e.http.watching import Watcher
from tests.e2e.programs import ATTACH, ROOT, program, read_line
from tests.waiting import PATIENCE

FRESH = "make them again: python -m deploy.seccomp.render"
FORBIDDEN = {
    *("acct", "add_key", "chroot", "delete_module", "finit_module", "init_module", "io_uring_setup", "iopl", "ioperm"),
    *("kexec_file_load", "kexec_load", "keyctl", "mknod", "mknodat", "open_by_handle_at", "personality", "pivot_root"),
    *("process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "reboot", "request_key", "setgid", "setgroups"),
    *("sethostname", "setresuid", "settimeofday", "setuid", "setxattr", "swapon", "symlink", "syslog", "umount2"),
    *("userfaultfd", "clock_settime", "clock_adjtime", "move_mount", "open_tree", "pidfd_getfd", "chown", "fchownat"),
}
"""Some that an attacker would like to have."""
NO_SUCH_CALL = -1


def seccomp() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        pytest.skip(f"needs {LIBRARY}")


def filtered(path: Path, action: str, *command: str | Path) -> list[str]:
    return [sys.executable, "-m", "tests.deploy.filtered", str(path), action, *map(str, command)]


def test_the_files_are_fresh() -> None:
    assert PROFILE.read_text() == profile(), FRESH
    assert UNIT.read_text() == unit(UNIT.read_text()), FRESH


def test_the_unit_and_the_profile_allow_the_same() -> None:
    lines = [line.partition("=") for line in UNIT.read_text().splitlines()]
    in_unit = [name for key, _, value in lines if key == "SystemCallFilter" for name in value.split()]
    (group,) = json.loads(PROFILE.read_text())["syscalls"]
    assert in_unit == group["names"] == list(CALLS)
    assert [value for key, _, value in lines if key == "SystemCallArchitectures"] == ["native"]


def test_each_is_listed_once_and_is_a_system_call() -> None:
    listed = [name for group in GROUPS.values() for name in group]
    assert len(listed) == len(set(listed))
    library = seccomp()
    assert [name for name in CALLS if library.seccomp_syscall_resolve_name(name.encode()) == NO_SUCH_CALL] == []


def test_nothing_is_allowed_that_is_not_needed() -> None:
    library = seccomp()
    assert [name for name in FORBIDDEN if library.seccomp_syscall_resolve_name(name.encode()) == NO_SUCH_CALL] == []
    assert set() == FORBIDDEN & set(CALLS)


def test_a_unit_without_a_filter_is_not_written() -> None:
    with pytest.raises(ValueError, match="has 0 groups"):
        unit("[Service]\nExecStart=/bin/true\n")


@pytest.mark.kernel
def test_other_calls_are_refused() -> None:
    seccomp()
    text = (
        "import os\n"
        "for refused in (lambda: os.chroot('/'), lambda: os.symlink('a', 'b'), lambda: os.setuid(0)):\n"
        "    try:\n"
        "        refused()\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
    )
    done = subprocess.run(
        filtered(PROFILE, "refuse", sys.executable, "-c", text), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n" * 3, "")


@pytest.mark.kernel
def test_what_is_killed_is_noticed() -> None:
    """Else the test below would show nothing."""
    seccomp()
    for text in ("import os; os.chroot('/')", "import os; os.fork() or os.chroot('/'); assert os.wait()[1] == 0"):
        command = filtered(PROFILE, "kill", sys.executable, "-c", text)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode != 0, text


@contextmanager
def own_objects() -> Iterator[Path]:
    """A folder without compiled programs, which stays visible when /tmp is replaced."""
    folder = OBJECTS.parent / f"seccomp-{os.getpid()}"
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give capabilities away")
def test_the_agent_makes_no_other_call(tmp_path: Path) -> None:
    """As in its container, where the first forbidden call of any thread or child would end it.

    Compiling takes most of the time; the compiler's calls are a good part of the profile.
    """
    seccomp()
    certificates = make_certificates(tmp_path)
    collector = Collector()
    variables = ["ROVER_TELEMETRY_ADDRESS=127.0.0.1:0", "ROVER_ACCESS_LOG_FLUSH_PERIOD=200ms"]
    variables.append("ROVER_TELEMETRY_PROGRAM_STATISTICS=true")
    with own_objects() as objects, collector.serve() as port:
        run = [sys.executable, "-m", "agent.cli", "run", "--attach", ATTACH, "--backend", f"127.0.0.1:{port}"]
        names = [capability.name for capability in CAPABILITIES]
        variables.append(f"ROVER_SPOOL_FOLDER={objects}/spool")
        command = confined(["env", *variables, *filtered(PROFILE, "kill", *run)], names, objects)
        with program(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as agent:
            assert agent.stderr is not None
            metrics = read_line(agent.stderr.fileno(), "the agent").removeprefix("figures at ").strip()
            assert "hooks" in read_line(agent.stderr.fileno(), "the agent")
            assert any(path.is_file() for path in objects.iterdir())  # what was compiled
            assert (objects / "spool" / "ledger").exists()
            watcher = Watcher(collector, agent)
            server_command = python_command("servers.threading_server")
            with started(server_command, tmp_path / "log", certificates, "openssl") as server:
                client = python_client("blocking_client", "keep")
                watcher.wait_for_tls(server.port, lambda: client(server, [Call("GET", "/bytes/1/0")]))
            for path in ("metrics", "healthz", "livez"):
                with urllib.request.urlopen(metrics.replace("metrics", path), timeout=PATIENCE) as response:  # noqa: S310 - always http
                    assert response.status == 200
            assert agent.poll() is None
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(PATIENCE) == 0


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="only root sees the sockets of others")
def test_an_agent_that_only_reports_makes_no_other_call(tmp_path: Path) -> None:
    """Also where its token and certificates are replaced meanwhile."""
    seccomp()
    token = tmp_path / "token"
    token.write_text("first")
    receiver = Receiver()
    with receiver.serving() as address:
        variables = {
            "ROVER_ACCESS_LOG_ACTIVE": "false",
            "ROVER_BACKEND_ADDR": address,
            "ROVER_BACKEND_AUTHENTICATION_FILE": str(token),
            "ROVER_PROCESS_DISCOVERY_HEARTBEAT_PERIOD": "200ms",
        }
        command = filtered(PROFILE, "kill", sys.executable, "-m", "agent.cli", "run")
        with program(command, stderr=subprocess.PIPE, env={**os.environ, **variables}) as agent:
            assert agent.stderr is not None
            assert "no access logs" in read_line(agent.stderr.fileno(), "the agent")
            receiver.until(receiver.kept_alive)
            token.write_text("second")
            agent.send_signal(signal.SIGHUP)
            assert "renewed (1)" in read_line(agent.stderr.fileno(), "the agent")
            receiver.forget_kept_alive()
            receiver.until(receiver.kept_alive)
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(PATIENCE) == 0


@pytest.mark.kernel
def test_without_a_call_the_agent_says_what_is_missing(tmp_path: Path) -> None:
    seccomp()
    narrower = json.loads(PROFILE.read_text())
    narrower["syscalls"][0]["names"].remove("bpf")
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(narrower))
    command = filtered(path, "refuse", sys.executable, "-m", "agent.cli", "run", "--attach", ATTACH, "--for", "1s")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr
