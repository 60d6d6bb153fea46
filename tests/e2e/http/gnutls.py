"""GnuTLS over a blocking socket, by its C interface (https://gnutls.org/manual/): as much as the tests need."""

import ctypes
import functools
import io
import socket

SONAME = "libgnutls.so.30"
_SERVER, _CLIENT = 1, 2  # gnutls_init_flags_t
_PEM = 1  # gnutls_x509_crt_fmt_t
_CERTIFICATE = 1  # gnutls_credentials_type_t
_AGAIN = frozenset((-28, -52))  # GNUTLS_E_AGAIN, GNUTLS_E_INTERRUPTED
_PREMATURE_TERMINATION = -110  # the peer closed without saying so
_CLOSE_WRITE = 1  # GNUTLS_SHUT_WR


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(SONAME)
    for name in ("gnutls_record_recv", "gnutls_record_send"):
        function = getattr(library, name)
        function.restype = ctypes.c_ssize_t
        function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    library.gnutls_strerror.restype = ctypes.c_char_p
    return library


def is_there() -> bool:
    """Whether this machine has the library."""
    try:
        _library()
    except OSError:
        return False
    return True


def _check(result: int) -> int:
    if result < 0:
        raise OSError(result, _library().gnutls_strerror(result).decode())
    return result


def server_credentials(certificate: str, key: str) -> ctypes.c_void_p:
    """What a server shows; kept until the process ends."""
    credentials = ctypes.c_void_p()
    _check(_library().gnutls_certificate_allocate_credentials(ctypes.byref(credentials)))
    files = certificate.encode(), key.encode()
    _check(_library().gnutls_certificate_set_x509_key_file(credentials, *files, _PEM))
    return credentials


def client_credentials(authority: str) -> ctypes.c_void_p:
    """Whom a client trusts; kept until the process ends."""
    credentials = ctypes.c_void_p()
    _check(_library().gnutls_certificate_allocate_credentials(ctypes.byref(credentials)))
    _check(_library().gnutls_certificate_set_x509_trust_file(credentials, authority.encode(), _PEM))
    return credentials


class _Reader(io.RawIOBase):
    """What a session receives, as a file that can be closed on its own."""

    def __init__(self, session: "Session") -> None:
        super().__init__()
        self._session = session

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override] # what BufferedReader gives
        return self._session.receive_into(buffer)


class Session:
    """A TLS connection, with as much of a socket's interface as http.server and http.client use."""

    def __init__(self, connection: socket.socket, credentials: ctypes.c_void_p, *, server: bool) -> None:
        """Make the handshake. A client checks the peer's certificate for the name localhost.

        Raises:
            OSError: it failed; the message is the library's.
        """
        self._connection = connection
        self._library = _library()
        self._session = ctypes.c_void_p()
        _check(self._library.gnutls_init(ctypes.byref(self._session), _SERVER if server else _CLIENT))
        _check(self._library.gnutls_set_default_priority(self._session))
        _check(self._library.gnutls_credentials_set(self._session, _CERTIFICATE, credentials))
        if not server:
            self._library.gnutls_session_set_verify_cert(self._session, b"localhost", 0)
        descriptor = connection.fileno()
        self._library.gnutls_transport_set_int2(self._session, descriptor, descriptor)
        self._retry(self._library.gnutls_handshake, self._session)

    def _retry(self, function: "ctypes._NamedFuncPointer", *arguments: object) -> int:
        while (result := int(function(*arguments))) in _AGAIN:
            pass
        return _check(result)

    def receive_into(self, buffer: bytearray) -> int:
        """Bytes received; 0 at the end."""
        # The library writes into the reader's own memory.
        memory = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        try:
            return self._retry(self._library.gnutls_record_recv, self._session, memory, len(buffer))
        except OSError as error:
            if error.errno == _PREMATURE_TERMINATION:
                return 0
            raise

    def makefile(self, _mode: str, _buffering: int = -1) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))  # type: ignore[arg-type] # same

    def sendall(self, data: bytes) -> None:
        sent = 0
        while sent < len(data):
            rest = bytes(memoryview(data)[sent:])
            sent += self._retry(self._library.gnutls_record_send, self._session, rest, len(rest))

    def close(self) -> None:
        """Say that nothing follows, and close."""
        self._library.gnutls_bye(self._session, _CLOSE_WRITE)
        self._library.gnutls_deinit(self._session)
        self._connection.close()
