"""What evaluates expressions is pure: it knows no store."""

import subprocess
import sys


def test_evaluating_needs_no_store() -> None:
    program = "import sys, backend.query.mqe.answer; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "backend.query.mqe.evaluator" in loaded
    assert {
        name for name in loaded if name.startswith(("backend.storage", "backend.metrics", "duckdb", "polars"))
    } == set()
