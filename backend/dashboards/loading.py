"""Which dashboards count: the standard ones, and those of the user, which win over standard ones of the same name."""

from functools import cache
from pathlib import Path

from backend.dashboards.checking import check, without_unknown
from backend.dashboards.model import Dashboard, DashboardError, Scope
from backend.dashboards.reading import read_content
from backend.oal.loader import load
from backend.query.catalog import Catalog

STANDARD = Path(__file__).parent.parent / "config" / "dashboards"
"""The folder of the files that come with the program."""
ENDINGS = (".yml", ".yaml")
MAXIMUM_FILES = 300
"""Most files of the user."""


def load_dashboards(catalog: Catalog, own: str = "", standard: Path = STANDARD) -> tuple[Dashboard, ...]:
    """Load all that counts, by scope and name. Nothing is changed: who has dashboards can keep them on an error.

    Args:
        catalog: the metrics that there are.
        own: a folder of files (*.yml, *.yaml) of the user, or one file; empty for none.
        standard: folder of those that come with the program.

    Raises:
        DashboardError: a file cannot be read or is wrong. Standard ones show less when metrics are missing, for scripts
            may switch metrics off.
    """
    files = {file.stem: file for file in _files(standard)}
    mine = {file.stem: file for file in _own(own)} if own else {}
    chosen = sorted({**files, **mine}.items())
    loaded = (_load(file, catalog, own=name in mine) for name, file in chosen)
    shown = [dashboard for dashboard in loaded if dashboard.content.tabs]
    order = list(Scope)
    return tuple(sorted(shown, key=lambda dashboard: order.index(dashboard.content.scope)))


@cache
def standard_dashboards() -> tuple[Dashboard, ...]:
    """Those that come with the program, for the metrics that come with it. Raises DashboardError and OalError."""
    return load_dashboards(Catalog(load(skip_unsupported=True).definitions))


def _own(own: str) -> list[Path]:
    path = Path(own)
    files = _files(path) if path.is_dir() else [path]
    if not files:
        raise DashboardError(own, 1, "there is no dashboard (*.yml) in this folder")
    if len(files) > MAXIMUM_FILES:
        raise DashboardError(own, 1, f"there are more than {MAXIMUM_FILES} dashboards in this folder: remove some")
    names: set[str] = set()
    for file in files:
        if file.stem in names:
            raise DashboardError(str(file), 1, f"there are two files for the dashboard {file.stem!r}: remove one")
        names.add(file.stem)
    return files


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in ENDINGS)


def _load(file: Path, catalog: Catalog, *, own: bool) -> Dashboard:
    try:
        text = file.read_bytes()
    except OSError as error:
        raise DashboardError(str(file), 1, f"the dashboard cannot be read: {error.strerror}") from None
    content, document = read_content(text, str(file))
    if not own:
        content = without_unknown(content, catalog)
    check(content, document, str(file), catalog)
    return Dashboard(file.stem, own, content)
