"""Captured payload made by hand."""

from collections.abc import Sequence

from agent.events.fragments import ConversationProtocol, Fragment, FragmentFlag
from agent.events.layout import EventKind

READ, WRITE = EventKind.READ, EventKind.WRITE
CALL_NS = 10
"""How long each call takes."""


def fragment(
    kind: EventKind,
    data: bytes,
    *,
    at: int = 1000,
    position: int = 0,
    size: int | None = None,
    offset: int = 0,
    last: bool = True,
    process: int = 100,
    thread: int = 100,
    inode: int = 1,
    session: int = 0,
    protocol: ConversationProtocol = ConversationProtocol.HTTP1,
) -> Fragment:
    return Fragment(
        start_ns=at,
        end_ns=at + CALL_NS,
        inode=inode,
        socket=inode + 0xFFFF0000,
        session=session,
        position=position,
        call_bytes=offset + len(data) if size is None else size,
        offset=offset,
        process=process,
        thread=thread,
        length=len(data),
        kind=kind,
        protocol=protocol,
        flags=FragmentFlag.LAST if last else 0,
        unused=0,
        data=data,
    )


def calls(kind: EventKind, parts: Sequence[bytes], *, at: int = 1000, position: int = 0) -> list[Fragment]:
    """One call after the other, each captured whole."""
    made = []
    for part in parts:
        made.append(fragment(kind, part, at=at, position=position % (1 << 32)))
        position += len(part)
        at += 2 * CALL_NS
    return made
