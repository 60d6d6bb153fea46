"""The hooks in programs and libraries that encrypt: where plain text goes in and comes out.

Which files have these functions is found out when they come to be used (`agent.tls`); until then the programs are
loaded and attached to nothing.
"""

from typing import Final

from agent.kernel.hook import (
    COOKIE,
    GOROUTINE,
    RESULT,
    STACK,
    Argument,
    Attachment,
    Convention,
    Cost,
    Hook,
    Source,
    SourceKind,
    Stage,
)

READS, WRITES, SHAKES_HANDS = 4, 5, 0
COUNTS, HAS_NO_BUFFER, FREES = 0x10, 0x20, 0x40
"""What a function does, as bpf/tls_plaintext.c has it."""


def _word(position: int) -> Argument:
    return Argument("u64", position)


_ENTRY: Final = (_word(0), _word(1), _word(3), _word(COOKIE), _word(STACK))
_RETURN: Final = (Argument("int", RESULT), _word(STACK))
_GO_ENTRY: Final = (_word(0), _word(1), _word(GOROUTINE), _word(COOKIE))
_GO_RETURN: Final = (Argument("long", RESULT), _word(GOROUTINE))


def _call(function: str, what: int) -> tuple[Attachment, ...]:
    """A function of C, followed from its entry to its return."""
    return (
        Attachment("enter_tls", function, _ENTRY, cookie=what),
        Attachment("leave_tls", function, _RETURN, at_return=True),
    )


def _end(function: str) -> tuple[Attachment, ...]:
    return (Attachment("enter_tls", function, _ENTRY, cookie=FREES),)


def _go_call(function: str, what: int) -> tuple[Attachment, ...]:
    return (
        Attachment("enter_go", function, _GO_ENTRY, convention=Convention.GO, cookie=what),
        Attachment("leave_go", function, _GO_RETURN, convention=Convention.GO, at_return=True),
    )


def _hook(name: str, cost: Cost, lost: str, *functions: tuple[Attachment, ...]) -> Hook:
    attachments = tuple(attachment for function in functions for attachment in function)
    return Hook(name, Stage.TLS, cost, (Source(SourceKind.UPROBE, attachments),), (lost,))


_OPENSSL_LOST: Final = "protocolLog of connections encrypted by OpenSSL or BoringSSL"
_GNUTLS_LOST: Final = "protocolLog of connections encrypted by GnuTLS"
_GO_LOST: Final = "protocolLog of connections encrypted by Go programs"

TLS_HOOKS: Final = (
    _hook(
        "openssl_read", Cost.PLAINTEXT, _OPENSSL_LOST, _call("SSL_read", READS), _call("SSL_read_ex", READS | COUNTS)
    ),
    _hook(
        "openssl_write",
        Cost.PLAINTEXT,
        _OPENSSL_LOST,
        _call("SSL_write", WRITES),
        _call("SSL_write_ex", WRITES | COUNTS),
        _call("SSL_sendfile", WRITES | HAS_NO_BUFFER),
    ),
    _hook(
        "openssl_handshake",
        Cost.CONNECTION,
        "the first request of clients that carry bytes between OpenSSL or BoringSSL and the socket themselves",
        _call("SSL_do_handshake", SHAKES_HANDS),
        _call("SSL_connect", SHAKES_HANDS),
        _call("SSL_accept", SHAKES_HANDS),
    ),
    _hook(
        "openssl_free",
        Cost.CONNECTION,
        "when a session of OpenSSL or BoringSSL ends before its connection",
        _end("SSL_free"),
    ),
    _hook(
        "gnutls_read",
        Cost.PLAINTEXT,
        _GNUTLS_LOST,
        _call("gnutls_record_recv", READS),
        _call("gnutls_record_recv_seq", READS),
    ),
    _hook(
        "gnutls_write",
        Cost.PLAINTEXT,
        _GNUTLS_LOST,
        _call("gnutls_record_send", WRITES),
        _call("gnutls_record_send2", WRITES),
    ),
    _hook(
        "gnutls_handshake",
        Cost.CONNECTION,
        "the first request of clients that carry bytes between GnuTLS and the socket themselves",
        _call("gnutls_handshake", SHAKES_HANDS),
    ),
    _hook("gnutls_free", Cost.CONNECTION, "when a session of GnuTLS ends before its connection", _end("gnutls_deinit")),
    _hook("go_read", Cost.PLAINTEXT, _GO_LOST, _go_call("crypto/tls.(*Conn).Read", READS)),
    _hook("go_write", Cost.PLAINTEXT, _GO_LOST, _go_call("crypto/tls.(*Conn).Write", WRITES)),
)
