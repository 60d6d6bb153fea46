"""Answers HTTP requests over TLS until it is ended. Arguments: certificate, key. Prints its port."""

import contextlib
import socket
import ssl
import sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:3])
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as encrypted:
            request = b""
            while part := encrypted.recv(65536):
                request += part
                while b"\r\n\r\n" in request:
                    request = request.partition(b"\r\n\r\n")[2]
                    encrypted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
