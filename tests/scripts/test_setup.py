"""`scripts/setup` where it can do nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.scripts.page_commands import ROOT
from tests.scripts.test_pages import anchors

UNAVAILABLE = os.EX_UNAVAILABLE


@pytest.mark.parametrize("profile", ["run", "test", "vm"])
def test_another_distribution_is_led_to_a_page_that_says_what_there_is(profile: str, tmp_path: Path) -> None:
    """To install the packages by hand would lead nowhere: it would say the same again."""
    for command in ("bash", "dirname"):  # no dpkg-query
        found = shutil.which(command)
        assert found is not None
        (tmp_path / command).symlink_to(found)
    setup = [str(tmp_path / "bash"), str(ROOT / "scripts" / "setup"), profile]
    done = subprocess.run(setup, capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)})
    assert done.returncode == UNAVAILABLE
    words = done.stderr.strip().split()
    assert words[:6] == ["setup:", "this", "is", "neither", "Debian", "nor"]
    page, anchor = next(word for word in words if ".md#" in word).split("#")
    assert anchor in anchors(ROOT / page)
