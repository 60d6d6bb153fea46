"""Names that the kernel has as bytes, as text that can be told."""

import os


def readable(name: str) -> str:
    """A path or the name of an interface, each byte that is no UTF-8 replaced.

    Python keeps such bytes as surrogates, so that the name can be given back to the kernel. No message on the wire, no
    recording and no page takes those. Anybody may run a program whose path has such bytes.

    Args:
        name: As Python decodes it: os.readlink, socket.if_nameindex.
    """
    return os.fsencode(name).decode(errors="replace")
