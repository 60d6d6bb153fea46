"""The units of systemd, beside what the programs declare."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config_loading import load_configuration
from agent.kernel.loader_options import OBJECTS
from agent.kernel.privileges import CAPABILITIES
from agent.kernel.tracefs import USUAL_PLACES
from backend.server.loading import load
from tests.e2e.programs import ROOT

UNITS = ROOT / "deploy" / "systemd"
PROGRAMS = ("pyrover-agent", "pyrover-backend")
EXPOSURES = {"pyrover-agent": 4.5, "pyrover-backend": 1.7}
"""What `systemd-analyze security` computes of what each may do, from 0 to 10, in version 252."""
ONLY_READS_FILES = 250
"""The first version that judges units which are not installed."""
STARTS, STARTS_SECONDS = 5, 10.0
"""So many starts within so many seconds are the last ones, where a unit says nothing else (systemd-system.conf)."""
needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


def settings(name: str) -> Iterator[tuple[str, str]]:
    for line in (UNITS / f"{name}.service").read_text().splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            yield match[1], match[2]


def test_the_agent_gets_what_it_uses_and_no_more() -> None:
    unit = dict(settings("pyrover-agent"))
    assert unit["CapabilityBoundingSet"].split() == [capability.name for capability in CAPABILITIES]
    assert unit["ReadWritePaths"] == str(USUAL_PLACES[0])
    assert Path("/var/cache", unit["CacheDirectory"]) == OBJECTS.parent
    spool = load_configuration(None, dict([unit["Environment"].split("=", 1)])).spool.folder
    assert Path(spool).parent == Path("/var/lib", unit["StateDirectory"])


def test_the_backend_keeps_what_it_stores() -> None:
    unit = dict(settings("pyrover-backend"))
    variables = dict(value.split("=", 1) for name, value in settings("pyrover-backend") if name == "Environment")
    assert unit["CapabilityBoundingSet"] == ""
    backend = load(None, {"PYROVER_BACKEND_DATA": variables["PYROVER_BACKEND_DATA"]}, {})
    assert backend.data == str(Path("/var/lib", unit["StateDirectory"]))
    assert variables["NUMBA_CACHE_DIR"] == str(Path("/var/cache", unit["CacheDirectory"]))
    assert float(unit["TimeoutStopSec"]) > backend.times.shutdown_seconds


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_reload_asks_for_what_has_changed(name: str) -> None:
    """By the shell's own kill: the program of that name is in a package that small systems leave out (procps)."""
    assert dict(settings(name))["ExecReload"] == "/bin/sh -c 'kill -HUP $MAINPID'"


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_start_that_fails_is_tried_again_for_as_long_as_it_takes(name: str) -> None:
    """A port may be taken and a ClickHouse server away for long, and systemd gives up on what begins too often."""
    unit = dict(settings(name))
    assert unit["Restart"] == "on-failure"
    assert float(unit["RestartSec"]) * STARTS > STARTS_SECONDS
    assert not {"StartLimitBurst", "StartLimitIntervalSec"} & set(unit)


@needs_analyze
@pytest.mark.parametrize("name", PROGRAMS)
def test_systemd_understands_them(name: str, tmp_path: Path) -> None:
    there = (UNITS / f"{name}.service").read_text().replace("/opt/pyrover/.venv/bin", "/usr/bin")
    unit = tmp_path / f"{name}.service"
    unit.write_text(there.replace(f"/usr/bin/{name}", "/usr/bin/true"))  # it is not installed here
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if f"{name}.service" in line]
    assert complaints == []


@needs_analyze
@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_is_open_that_was_closed(name: str) -> None:
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.split()[1]) < ONLY_READS_FILES:
        pytest.skip(f"systemd-analyze judges only units that are installed, before {ONLY_READS_FILES}")
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURES[name] * 10:.0f}"]
    done = subprocess.run([*command, UNITS / f"{name}.service"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
