"""agent/kernel/privileges.py: what is missing is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.kernel import privileges
from agent.kernel.privileges import NEEDED, missing_capabilities


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_lacks_everything() -> None:
    program = (
        "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "from agent.kernel.privileges import missing_capabilities; print(*missing_capabilities())"
    )
    root = Path(privileges.__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == list(NEEDED)


def test_each_is_told_by_its_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, bit in NEEDED.items():
        status = f"Name:\tpython\nCapEff:\t{1 << bit:016x}\n"
        monkeypatch.setattr(Path, "read_text", lambda _, text=status: text)
        assert set(missing_capabilities()) == set(NEEDED) - {name}
