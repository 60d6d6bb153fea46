"""A file system in a folder, served by this program (FUSE), that answers nothing while it is told to be silent.

    python silent_file_system.py FILES FOLDER

It shows the files of a folder. `silent` or `answering` on standard input changes what it does, and is acknowledged;
what was asked meanwhile is answered then. `waiting` prints how many questions there are of that kind. It ends with its
standard input, and the kernel fails what is asked from then on.

Source: the kernel's include/uapi/linux/fuse.h, version 7.31.
"""

import contextlib
import ctypes
import errno
import os
import select
import struct
import sys
from pathlib import Path

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT = 1, 2, 3, 14, 15, 17, 18, 25, 26
OPENDIR, RELEASEDIR, INTERRUPT, BATCH_FORGET = 27, 29, 36, 42
WITHOUT_ANSWER = {FORGET, INTERRUPT, BATCH_FORGET}
ROOT = 1
NO_SET_ID, NO_DEVICES, DETACH = 2, 4, 2

HEADER = struct.Struct("=IIQQIIIHH")
ANSWER = struct.Struct("=IiQ")
ATTRIBUTES = struct.Struct("=6Q10I")
ENTRY = struct.Struct("=4QII")
ATTRIBUTES_ANSWER = struct.Struct("=QII")
OPENED = struct.Struct("=QII")
STATUS = struct.Struct("=5Q10I")
STARTED = struct.Struct("=4I2H2I2H8I")

FIXED = {
    INIT: STARTED.pack(7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 16, 0, *[0] * 8),
    STATFS: STATUS.pack(*[0] * 5, 4096, 255, 4096, *[0] * 7),
    **dict.fromkeys((OPEN, OPENDIR), OPENED.pack(0, 0, 0)),
    **dict.fromkeys((RELEASE, RELEASEDIR, FLUSH), b""),
}

libc = ctypes.CDLL(None, use_errno=True)


class Server:
    """Answers the kernel."""

    def __init__(self, files: Path, folder: Path) -> None:
        self.paths = sorted(files.iterdir())
        self.folder = folder
        self.device = os.open("/dev/fuse", os.O_RDWR)
        self.is_silent = False
        self.waiting: list[bytes] = []
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        arguments = b"silent", os.fsencode(folder), b"fuse.silent", NO_SET_ID | NO_DEVICES, options.encode()
        if libc.mount(*arguments):
            raise OSError(ctypes.get_errno(), "mount")

    def attributes(self, node: int) -> bytes:
        status = (self.folder.parent if node == ROOT else self.paths[node - 2]).stat()
        seconds, nanoseconds = divmod(status.st_mtime_ns, 10**9)
        mode = 0o40755 if node == ROOT else 0o100755
        size = 0 if node == ROOT else status.st_size
        blocks = (size + 511) // 512
        times = seconds, seconds, seconds, nanoseconds, nanoseconds, nanoseconds
        return ATTRIBUTES.pack(node, size, blocks, *times, mode, 1, 0, 0, 0, 4096, 0)

    def take(self) -> None:
        request = os.read(self.device, 1 << 20)
        if self.is_silent:
            self.waiting.append(request)
        else:
            self.answer(request)

    def answer(self, request: bytes) -> None:
        _, operation, number, node, *_ = HEADER.unpack_from(request)
        if operation in WITHOUT_ANSWER:
            return
        try:
            body = self.body(operation, node, request[HEADER.size :])
            answer = ANSWER.pack(ANSWER.size + len(body), 0, number) + body
        except OSError as error:
            answer = ANSWER.pack(ANSWER.size, -(error.errno or errno.EIO), number)
        with contextlib.suppress(FileNotFoundError):  # who asked is gone
            os.write(self.device, answer)

    def body(self, operation: int, node: int, rest: bytes) -> bytes:
        if operation in FIXED:
            return FIXED[operation]
        if operation == LOOKUP:
            names = [path.name.encode() for path in self.paths]
            name = rest.rstrip(b"\0")
            if node != ROOT or name not in names:
                raise OSError(errno.ENOENT, "no such file")
            found = names.index(name) + 2
            return ENTRY.pack(found, 0, 0, 0, 0, 0) + self.attributes(found)
        if operation == GETATTR:
            return ATTRIBUTES_ANSWER.pack(0, 0, 0) + self.attributes(node)
        if operation == READ:
            _, offset, size = struct.unpack_from("=QQI", rest)
            with self.paths[node - 2].open("rb") as file:
                file.seek(offset)
                return file.read(size)
        raise OSError(errno.ENOSYS, "not served")

    def obey(self, word: str) -> str:
        if word == "waiting":
            return str(len(self.waiting))
        self.is_silent = word == "silent"
        while self.waiting and not self.is_silent:
            self.answer(self.waiting.pop(0))
        return word


def main() -> None:
    """Serve until standard input ends."""
    server = Server(Path(sys.argv[1]), Path(sys.argv[2]))
    print("mounted", flush=True)
    try:
        while True:
            ready, _, _ = select.select([0, server.device], [], [])
            if 0 in ready:
                word = os.read(0, 64).decode().strip()
                if not word:
                    return
                print(server.obey(word), flush=True)
            if server.device in ready:
                server.take()
    finally:
        libc.umount2(os.fsencode(sys.argv[2]), DETACH)


if __name__ == "__main__":
    main()
