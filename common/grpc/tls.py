"""Bytes to and from a server without waiting: over TLS. Imported only where TLS is asked for; ssl takes 4 MB."""

import select
import socket
import ssl

from common.client_certificate import load_client_certificate
from common.grpc.channel import RECEIVE_SIZE
from common.grpc.patience import Patience
from common.grpc.security import Security

_ALPN = "h2"


def make_context(security: Security) -> ssl.SSLContext:
    """What every connection is made with: TLS 1.2 or later, and HTTP/2 (RFC 9113, section 9.2).

    Raises:
        ValueError: a certificate or key cannot be used; the message says which.
    """
    if security.roots is not None and not security.roots.strip():
        raise ValueError("the certificates of the authorities cannot be used: there are none")  # ssl would take others
    try:
        roots = None if security.roots is None else security.roots.decode("ascii")
        context = ssl.create_default_context(cadata=roots)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"the certificates of the authorities cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([_ALPN])
    if not security.verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if security.private_key is None and security.certificate_chain is None:
        return context
    if security.private_key is None or security.certificate_chain is None:
        raise ValueError("a client's certificate and its key are of use only together")
    try:
        load_client_certificate(context, security.certificate_chain, security.private_key)
    except ssl.SSLError as error:
        raise ValueError(f"the client's certificate and key cannot be used: {error}") from error
    return context


class TlsChannel:
    """Over a socket whose handshake is done."""

    def __init__(self, secured: ssl.SSLSocket) -> None:
        self.read_on = select.POLLIN
        self.write_on = select.POLLOUT
        self._socket = secured

    def fileno(self) -> int:
        """As Channel.fileno."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """As Channel.receive."""
        try:
            received = self._socket.recv(RECEIVE_SIZE)
        except ssl.SSLWantReadError:
            self.read_on = select.POLLIN
            return None
        except ssl.SSLWantWriteError:
            self.read_on = select.POLLOUT
            return None
        self.read_on = select.POLLIN
        return received

    def send(self, data: memoryview) -> int:
        """As Channel.send."""
        try:
            taken = self._socket.send(data)
        except ssl.SSLWantWriteError:
            self.write_on = select.POLLOUT
            return 0
        except ssl.SSLWantReadError:
            self.write_on = select.POLLIN
            return 0
        self.write_on = select.POLLOUT
        return taken

    def close(self) -> None:
        """As Channel.close."""
        self._socket.close()


def secure(connected: socket.socket, context: ssl.SSLContext, host: str, patience: Patience) -> TlsChannel:
    """Do the handshake; the socket belongs to the channel then, and is closed when there is none.

    Raises:
        OSError: the server is not the one that was asked for, or does not take this client; the message says why.
        Expired, Interrupted: as Patience.wait.
    """
    try:
        secured = context.wrap_socket(connected, server_hostname=host, do_handshake_on_connect=False)
    except BaseException:
        connected.close()
        raise
    try:
        _shake_hands(secured, patience)
    except BaseException:
        secured.close()
        raise
    return TlsChannel(secured)


def _shake_hands(secured: ssl.SSLSocket, patience: Patience) -> None:
    while True:
        try:
            secured.do_handshake()
        except ssl.SSLWantReadError:
            patience.wait(secured.fileno(), select.POLLIN)
        except ssl.SSLWantWriteError:
            patience.wait(secured.fileno(), select.POLLOUT)
        except ssl.SSLCertVerificationError as error:
            raise OSError(f"its certificate does not fit: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise OSError(f"no TLS with it: {error.reason or error}") from error
        else:
            break
    if secured.selected_alpn_protocol() != _ALPN:
        raise OSError("it does not offer HTTP/2 in TLS (ALPN h2)")
