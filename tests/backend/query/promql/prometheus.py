"""Real Prometheus servers, where the distribution's package is installed."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.backend.query.promql.reference import Series

PROGRAM, TOOL = shutil.which("prometheus"), shutil.which("promtool")

needs_prometheus = pytest.mark.skipif(PROGRAM is None or TOOL is None, reason="the package prometheus is not installed")

_LISTENING = re.compile(r'msg="Listening on" address=(\S+)')
_READY = re.compile(r'msg="Server is ready to receive web requests')


@contextmanager
def prometheus(folder: Path, configuration: str = "global: {}") -> Iterator[str]:
    """A server that keeps its data in a folder, while the block runs; gives its address."""
    assert PROGRAM is not None
    file = folder / "prometheus.yml"
    file.write_text(configuration)
    process = subprocess.Popen(
        [
            PROGRAM,
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=100y",
            "--web.listen-address=127.0.0.1:0",
        ],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        address, told = "", []
        for line in process.stderr:
            told.append(line)
            if found := _LISTENING.search(line):
                address = found[1]
            if address and _READY.search(line):
                break
        else:
            pytest.fail("".join(told))
        # What it says after that must go somewhere, or it would stop at a full pipe.
        rest = threading.Thread(target=process.stderr.read)
        rest.start()
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            rest.join()
    finally:
        process.kill()
        process.communicate()


def write(folder: Path, series: Sequence[Series]) -> None:
    """Put series into the data of a server that is not running."""
    assert TOOL is not None
    lines = []
    for name in dict.fromkeys(each.labels["__name__"] for each in series):
        lines.append(f"# TYPE {name} gauge")
        for each in series:
            if each.labels["__name__"] == name:
                labels = ",".join(f'{label}="{value}"' for label, value in each.labels.items() if label != "__name__")
                lines += [f"{name}{{{labels}}} {number!r} {at / 1000}" for at, number in each.samples.items()]
    (folder / "samples.txt").write_text("\n".join([*lines, "# EOF", ""]))
    command = [TOOL, "tsdb", "create-blocks-from", "openmetrics", "samples.txt", "data"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
