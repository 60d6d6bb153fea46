"""Runs a program under a profile of system calls, as a container engine does.

    ... -m tests.deploy.filtered PROFILE ACTION COMMAND...

ACTION is what happens at a call that the profile does not allow: `refuse`, as the profile says, or `kill`, which
leaves nothing unnoticed in any thread or child.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

LIBRARY = "libseccomp.so.2"
_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_NO_SUCH_CALL = -1


def apply(profile: dict[str, Any], action: str) -> None:
    """Allow this process and its children what a profile allows, for good."""
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    library = ctypes.CDLL(LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_rule_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_load.argtypes = [ctypes.c_void_p]
    default = _KILL_PROCESS if action == "kill" else _ERRNO | profile["defaultErrnoRet"]
    context = library.seccomp_init(default)
    assert context
    for group in profile["syscalls"]:
        assert set(group) == {"names", "action"}
        assert group["action"] == "SCMP_ACT_ALLOW"
        for name in group["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            assert number != _NO_SUCH_CALL, f"{name} is no system call"
            if number >= 0:  # negative ones are those of other machines
                assert library.seccomp_rule_add(context, _ALLOW, number, 0) == 0, name
    assert library.seccomp_load(context) == 0


if __name__ == "__main__":
    apply(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606 - the command of a test
