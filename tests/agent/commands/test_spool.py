from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.commands.spool import open_spool
from agent.config import Configuration, Spool
from agent.config_reading import ConfigurationError


def test_there_is_none_unless_a_folder_is_named() -> None:
    with ExitStack() as stack:
        assert open_spool(Configuration(), stack) is None


def test_it_is_for_one_agent_until_that_ends(tmp_path: Path) -> None:
    configuration = Configuration(spool=Spool(folder=str(tmp_path / "spool")))
    with ExitStack() as stack:
        assert open_spool(configuration, stack) is not None
        with pytest.raises(ConfigurationError, match=r"spool\.folder: .* is in use by another agent"):
            open_spool(configuration, stack)
    with ExitStack() as stack:
        assert open_spool(configuration, stack) is not None


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    configuration = Configuration(spool=Spool(folder=str(tmp_path / "file")))
    with ExitStack() as stack, pytest.raises(ConfigurationError, match=r"spool\.folder: .*/file cannot be a spool"):
        open_spool(configuration, stack)
