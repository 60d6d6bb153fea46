"""Generate the Python code of protos/*/*.proto, in place.

    scripts/generate_protos.py [--check]

--check writes nothing and exits with 1, naming the files, when what is committed is not what would be generated.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
INCLUDES = Path(grpc_tools.__file__).parent / "_proto"


def sources(root: Path = ROOT) -> list[str]:
    """The .proto files, as paths below the root."""
    return sorted(str(path.relative_to(root)) for path in (root / "protos").glob("*/*.proto"))


def has_service(path: Path) -> bool:
    """Whether a .proto file declares a service; only then is there code for gRPC."""
    return any(line.startswith("service ") for line in path.read_text().splitlines())


def generate(target: Path, root: Path = ROOT) -> list[Path]:
    """Generate into a folder; the files made, as paths below it. Raises SystemExit with what protoc said."""
    files = sources(root)
    services = [name for name in files if has_service(root / name)]
    common = ["protoc", f"--proto_path={root}", f"--proto_path={INCLUDES}"]
    commands = (
        [*common, f"--python_out={target}", f"--pyi_out={target}", *files],
        [*common, f"--grpc_python_out={target}", *services],
    )
    for command in commands:
        if protoc.main(command) != 0:
            raise SystemExit("protoc refused the sources; its message above says where")
    return sorted(path.relative_to(target) for path in target.glob("protos/**/*_pb2*.py*"))


def differences(root: Path = ROOT) -> list[str]:
    """What is committed and not what would be generated: missing, changed or left over."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder)
        made = generate(target, root)
        found = [
            f"{path} {'differs' if (root / path).exists() else 'is missing'}"
            for path in made
            if not (root / path).exists() or (root / path).read_bytes() != (target / path).read_bytes()
        ]
    existing = {path.relative_to(root) for path in (root / "protos").glob("*/*_pb2*.py*")}
    return found + [f"{path} has no source any more" for path in sorted(existing - set(made))]


def main() -> int:
    """Generate or check; the exit status."""
    parser = argparse.ArgumentParser(description="Generate the Python code of the .proto files.")
    parser.add_argument(
        "--check", action="store_true", help="only say what would change; exit with 1 if anything would"
    )
    if not parser.parse_args().check:
        made = generate(ROOT)
        print(f"{len(made)} files generated in protos/")
        return 0
    found = differences()
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
