"""Compile a text for a kind of machine that this one need not be, and print its instructions in base64.

A program of its own, for the distribution's Python, which has BCC. Its standard input is JSON with the `machine`, as
uname names it, the `request` that the loader's child gets, and the names of the functions that are asked for. Nothing
is loaded.
"""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

sys.path.append(str(Path(__file__).resolve().parents[3]))

from agent.kernel import loader_child  # the path above comes first

_ARCHITECTURE = {"x86_64": "x86", "aarch64": "arm64"}  # as BCC's variable ARCH has them


class _System(NamedTuple):
    machine: str
    release: str


def main() -> None:
    task: dict[str, Any] = json.load(sys.stdin)
    machine = task["machine"]
    os.environ["ARCH"] = _ARCHITECTURE[machine]
    true = os.uname()
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    messages = loader_child.Messages()
    with tempfile.TemporaryDirectory() as root:
        with mock.patch("os.uname", return_value=_System(machine, true.release)):
            structs, structs_from = loader_child.kernel_structs(task["request"], Path(root))
        text = loader_child.compose(task["request"], structs)
        bcc = loader_child.import_bcc()
        try:
            compiled = loader_child.compile_text(bcc, text, task["functions"], messages, structs_from)
        except Exception:  # noqa: BLE001 # whatever it was, the test must hear of it
            json.dump({"error": f"{traceback.format_exc()}\n{messages.take()}"}, output)
            return
    json.dump({name: function.instructions for name, function in compiled.functions.items()}, output)


main()
