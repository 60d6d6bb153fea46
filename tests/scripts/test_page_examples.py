"""Every file of settings that a page shows is one: the program that it is for reads it, and says nothing against it."""

import logging
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agent.config_loading import load_configuration
from backend.alarms.loading import load as load_alarms
from backend.dashboards.loading import load_dashboards
from backend.entities.addresses.table import read_names
from backend.entities.grouping_rules import load_rules
from backend.oal.apdex import load_thresholds
from backend.oal.loader import load as load_metrics
from backend.query.catalog import Catalog
from backend.server.loading import load as load_settings
from backend.server.settings import SettingsError
from tests.backend.query.promql.prometheus import TOOL
from tests.scripts.page_commands import BLOCKS, ROOT, Block

EXAMPLES = [block for block in BLOCKS if block.language == "yaml"]


def _agent(file: Path) -> object:
    return load_configuration(file, {})


def _backend(file: Path) -> object:
    return load_settings(file, {}, {})


def _alarms(file: Path) -> object:
    return load_alarms(file, Catalog(load_metrics().definitions))


def _dashboards(file: Path) -> object:
    return load_dashboards(Catalog(load_metrics().definitions), str(file))


def _prometheus(file: Path) -> object:
    if TOOL is None:
        pytest.skip("needs promtool")
    done = subprocess.run([TOOL, "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


READERS: Mapping[str, Callable[[Path], object]] = {
    "docs/addresses.md": read_names,
    "docs/agent-configuration.md": _agent,
    "docs/agent.md": _agent,
    "docs/alarms.md": _alarms,
    "docs/configuration.md": _backend,
    "docs/dashboards.md": _dashboards,
    "docs/discovery.md": _agent,
    "docs/entities.md": load_rules,
    "docs/oal.md": load_thresholds,
    "docs/prometheus.md": _prometheus,
}
"""What reads the files that a page shows."""


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_a_file_that_a_page_shows_is_read(block: Block, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = str(block.page.relative_to(ROOT))
    assert page in READERS, f"{block}: say in READERS what reads it"
    file = tmp_path / "example.yml"
    file.write_text(block.text)
    with caplog.at_level(logging.WARNING):
        assert READERS[page](file) is not None
    assert caplog.messages == []


def test_no_reader_is_left_over() -> None:
    assert {str(block.page.relative_to(ROOT)) for block in EXAMPLES} == set(READERS)


def test_a_key_that_is_not_known_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "example.yml"
    file.write_text("core:\n  claster_name: east\n")
    _agent(file)
    assert "cluster_name" in caplog.text
    with pytest.raises(SettingsError):
        _backend(file)
