"""Put the console's chart library where the backend serves it from.

    .venv/bin/python scripts/fetch_console_assets.py

Apache ECharts comes out of the `nicegui` package, pinned by hash in requirements/console.txt; nothing else of that
package is kept, and it is not installed. Needs pip in the Python that runs this, or uv. A second run does nothing
until requirements/console.txt changes.
"""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements" / "console.txt"
TARGET = ROOT / "backend" / "console" / "vendor" / "echarts"
BUNDLE = Path("nicegui") / "elements" / "echart" / "dist"
STAMP = "made-from"
_MAIN_MODULE = re.compile(r'from"\./(index-[\w-]+\.js)"')
_SOURCE_MAP = re.compile(rb"\n?//# sourceMappingURL=\S+\s*$")


def installer() -> list[str]:
    """The command that installs Python packages into a folder."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise SystemExit(f"{sys.executable} has no pip, and there is no uv: install python3-venv and make .venv again.")


def copy_bundle(package: Path, target: Path) -> None:
    """Copy ECharts from an unpacked package to `target`, replacing what was there.

    The bundle is two ES modules: index.js, which names the exports, and the library. Its third part, for
    three-dimensional charts, is loaded on demand and never demanded here.
    """
    index = package / BUNDLE / "index.js"
    found = _MAIN_MODULE.search(index.read_text()) if index.exists() else None
    if found is None:
        raise SystemExit(f"{BUNDLE}/index.js is not what this script knows: the package was changed; mend the script.")
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name in ("index.js", found.group(1)):
        # Source maps stay behind, so the modules must not point to them.
        (new / name).write_bytes(_SOURCE_MAP.sub(b"\n", (package / BUNDLE / name).read_bytes()))
    (new / STAMP).write_text(requirements_digest())
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)


def requirements_digest() -> str:
    """What the assets are made from, as one word."""
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def main() -> int:
    """Fetch, unless what is there is already right."""
    stamp = TARGET / STAMP
    if stamp.exists() and stamp.read_text() == requirements_digest():
        return 0
    with tempfile.TemporaryDirectory(prefix="pyrover-console-") as folder:
        command = [*installer(), "--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS)]
        if subprocess.run([*command, "--target", folder], check=False).returncode:
            print("The console's chart library could not be fetched (the reason is above).", file=sys.stderr)
            return 1
        copy_bundle(Path(folder), TARGET)
    size = sum(file.stat().st_size for file in TARGET.glob("*.js"))
    print(f"console: ECharts, {size / 1e6:.2f} MB, in {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
