"""What a running program holds, sampled from outside: memory, descriptors, threads, mappings, and what it tells."""

import re
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from bench.kernel_maps import map_keys

GAUGES: Final = (
    "connections",
    "processes",
    "conversations",
    "tls_files",
    "conntrack_namespaces",
    "queue_logs",
)
"""What the agent tells of the tables in it, as docs/agent-metrics.md names them."""
GONE: Final = "excluded programs that are gone"
PROGRAMS_OF_MACHINE: Final = "programs of the machine"
_PROBES: Final = frozenset(("anon_inode:bpf_link", "anon_inode:[perf_event]"))
_MEBIBYTE: Final = 1 << 20


def process_figures(process: int) -> dict[str, float]:
    """What a process holds: MiB of its own memory, descriptors, threads and mappings. Probes are counted apart.

    Raises:
        OSError: It is gone.
    """
    folder = Path(f"/proc/{process}")
    status = dict(re.findall(r"^(RssAnon|Threads):\s+(\d+)", (folder / "status").read_text(), re.MULTILINE))
    opened = [_target(each) for each in (folder / "fd").iterdir()]
    probes = sum(target in _PROBES for target in opened)
    return {
        "memory, MiB": int(status["RssAnon"]) * 1024 / _MEBIBYTE,
        "descriptors": len(opened) - probes,
        "descriptors of probes": probes,
        "threads": int(status["Threads"]),
        "mappings": (folder / "maps").read_text().count("\n"),
    }


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def agent_figures(process: int, port: int) -> dict[str, float]:
    """The same of an agent, with the gauges that it tells, the entries of its kernel maps, and the machine's programs.

    Of programs that are not watched, those that do not exist any more are counted, too: there should never be one.

    Raises:
        OSError: It is gone, or does not answer.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    told = dict(re.findall(r"^pyrover_agent_(\w+) ([\d.e+]+)$", text, re.MULTILINE))
    figures = process_figures(process) | {name: float(told[name]) for name in GAUGES if name in told}
    found = map_keys(process)
    figures[GONE] = gone_programs(found.get("excluded_processes", ()))
    figures[PROGRAMS_OF_MACHINE] = sum(each.name.isdecimal() for each in Path("/proc").iterdir())
    return figures | {f"entries of {name}": len(keys) for name, keys in sorted(found.items())}


def gone_programs(keys: Iterable[bytes]) -> int:
    """How many of the process ids that are keys of a map are those of nobody."""
    return sum(not Path(f"/proc/{int.from_bytes(key, sys.byteorder)}").exists() for key in keys)


class Sampler:
    """Takes samples of several programs, each by a function of its own, until it is stopped.

    Attributes:
        seconds: When each sample was taken, since the start; by program.
        values: The samples of each figure; by program, then by figure, as many as there are times.
        missed: Samples that a program did not give, as while it is being started again.
    """

    def __init__(self, sources: Mapping[str, Callable[[], Mapping[str, float]]], pause: float) -> None:
        """Begin at once.

        Args:
            sources: Give the figures of a program; always the same figures.
            pause: Seconds between two samples.
        """
        self._sources, self._pause = sources, pause
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.values: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in sources}
        self.missed: dict[str, int] = dict.fromkeys(sources, 0)
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")
        self._thread.start()

    def passed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def latest(self) -> dict[str, dict[str, float]]:
        """The last sample of each program that has given one."""
        with self._lock:
            return {
                name: {figure: taken[-1] for figure, taken in values.items()}
                for name, values in self.values.items()
                if values
            }

    def stop(self) -> None:
        """Take no more samples."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._pause):
            for name, source in self._sources.items():
                try:
                    figures = source()
                except (OSError, urllib.error.URLError):
                    self.missed[name] += 1
                    continue
                with self._lock:
                    self.seconds[name].append(self.passed())
                    for figure, value in figures.items():
                        self.values[name][figure].append(value)
