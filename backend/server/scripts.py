"""Which OAL scripts count: the standard ones, and those of the user, which win over standard ones of the same name."""

from pathlib import Path

from backend.oal.loader import STANDARD, Metrics, load_texts
from backend.oal.syntax import OalError, Position


def load_scripts(own: str, standard: Path = STANDARD) -> Metrics:
    """Load all that counts, in the order of the names, the standard ones first.

    Args:
        own: A script or a folder of scripts (*.oal) of the user; empty for none.
        standard: Folder of those that come with the program.

    Raises:
        OalError: A script is wrong or cannot be read.
    """
    files = {file.name: file for file in sorted(standard.glob("*.oal"))}
    if own:
        path = Path(own)
        found = sorted(path.glob("*.oal")) if path.is_dir() else [path]
        if not found:
            raise OalError(Position(own, 1, 1), "there is no script (*.oal) in this folder")
        files |= {file.name: file for file in found}
    texts = {}
    for file in files.values():
        try:
            texts[str(file)] = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise OalError(Position(str(file), 1, 1), f"the script cannot be read: {error}") from None
    return load_texts(texts, skip_unsupported=True)
