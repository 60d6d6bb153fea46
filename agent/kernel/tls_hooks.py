"""The hooks in programs and libraries that encrypt: where plain text goes in and comes out.

Which files have these functions is found out when they come to be used (`agent.tls`); until then the programs are
loaded and attached to nothing.
"""

from collections.abc import Iterable
from typing import Final

from agent.kernel.hook import (
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

_STACK: Final = Argument("u64", STACK)
_GOROUTINE: Final = Argument("u64", GOROUTINE)


def _word(position: int) -> Argument:
    return Argument("u64", position)


def _call(handler: str, function: str, *arguments: Argument) -> tuple[Attachment, Attachment]:
    """A function of C, followed from its entry to its return."""
    return (
        Attachment(handler, function, (*arguments, _STACK)),
        Attachment("leave_tls", function, (Argument("int", RESULT), _STACK), at_return=True),
    )


def _go_call(handler: str, function: str) -> tuple[Attachment, Attachment]:
    return (
        Attachment(handler, function, (_word(0), _word(1), _GOROUTINE), convention=Convention.GO),
        Attachment(
            "leave_go", function, (Argument("long", RESULT), _GOROUTINE), at_return=True, convention=Convention.GO
        ),
    )


def _hook(name: str, cost: Cost, lost: str, attachments: Iterable[tuple[Attachment, ...]]) -> Hook:
    flat = tuple(attachment for group in attachments for attachment in group)
    return Hook(name, Stage.TLS, cost, (Source(SourceKind.UPROBE, flat),), (lost,))


_SESSION: Final = _word(0)
_SESSION_AND_BUFFER: Final = (_word(0), _word(1))
_SESSION_BUFFER_AND_COUNT: Final = (_word(0), _word(1), _word(3))

TLS_HOOKS: Final = (
    _hook(
        "openssl_read",
        Cost.PLAINTEXT,
        "protocolLog of connections encrypted by OpenSSL or BoringSSL",
        (
            _call("enter_tls_read", "SSL_read", *_SESSION_AND_BUFFER),
            _call("enter_tls_read_counted", "SSL_read_ex", *_SESSION_BUFFER_AND_COUNT),
        ),
    ),
    _hook(
        "openssl_write",
        Cost.PLAINTEXT,
        "protocolLog of connections encrypted by OpenSSL or BoringSSL",
        (
            _call("enter_tls_write", "SSL_write", *_SESSION_AND_BUFFER),
            _call("enter_tls_write_counted", "SSL_write_ex", *_SESSION_BUFFER_AND_COUNT),
            _call("enter_tls_sendfile", "SSL_sendfile", _SESSION),
        ),
    ),
    _hook(
        "openssl_handshake",
        Cost.CONNECTION,
        "the first request of clients that hand bytes to OpenSSL or BoringSSL themselves",
        (
            _call("enter_tls_handshake", "SSL_do_handshake", _SESSION),
            _call("enter_tls_handshake", "SSL_connect", _SESSION),
            _call("enter_tls_handshake", "SSL_accept", _SESSION),
        ),
    ),
    _hook(
        "openssl_free",
        Cost.CONNECTION,
        "when a session of OpenSSL or BoringSSL ends before its connection",
        ((Attachment("free_tls", "SSL_free", (_SESSION,)),),),
    ),
    _hook(
        "gnutls_read",
        Cost.PLAINTEXT,
        "protocolLog of connections encrypted by GnuTLS",
        (
            _call("enter_tls_read", "gnutls_record_recv", *_SESSION_AND_BUFFER),
            _call("enter_tls_read", "gnutls_record_recv_seq", *_SESSION_AND_BUFFER),
        ),
    ),
    _hook(
        "gnutls_write",
        Cost.PLAINTEXT,
        "protocolLog of connections encrypted by GnuTLS",
        (
            _call("enter_tls_write", "gnutls_record_send", *_SESSION_AND_BUFFER),
            _call("enter_tls_write", "gnutls_record_send2", *_SESSION_AND_BUFFER),
        ),
    ),
    _hook(
        "gnutls_handshake",
        Cost.CONNECTION,
        "the first request of clients that hand bytes to GnuTLS themselves",
        (_call("enter_tls_handshake", "gnutls_handshake", _SESSION),),
    ),
    _hook(
        "gnutls_free",
        Cost.CONNECTION,
        "when a session of GnuTLS ends before its connection",
        ((Attachment("free_tls", "gnutls_deinit", (_SESSION,)),),),
    ),
    _hook(
        "go_read",
        Cost.PLAINTEXT,
        "protocolLog of connections encrypted by Go programs",
        (_go_call("enter_go_read", "crypto/tls.(*Conn).Read"),),
    ),
    _hook(
        "go_write",
        Cost.PLAINTEXT,
        "protocolLog of connections encrypted by Go programs",
        (_go_call("enter_go_write", "crypto/tls.(*Conn).Write"),),
    ),
)
