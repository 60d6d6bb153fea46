"""The benchmarks: which there are, and the command of each.

    .venv/bin/python -m bench

docs/benchmarks.md says how each measures, and docs/figures.md what it found.
"""

import ast
from pathlib import Path

FOLDER = Path(__file__).parent


def benchmarks() -> dict[str, str]:
    """The first sentence of what each program says of itself, by its module."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        tree = ast.parse(path.read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if path.name != "__main__.py" and "main" in functions:
            found[f"bench.{path.stem}"] = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    return found


def main() -> None:
    """List them."""
    for module, says in benchmarks().items():
        print(f".venv/bin/python -m {module}\n    {says}")


if __name__ == "__main__":
    main()
