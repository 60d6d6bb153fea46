"""The lists that SkyWalking's backend asks a cluster's API server for: here of a cluster that has nothing.

It looks up addresses there while logs wait, and waits a minute and more for each that is not answered.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

_LISTS: Final = {
    "/api/v1/pods": "PodList",
    "/api/v1/services": "ServiceList",
    "/api/v1/endpoints": "EndpointsList",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind = _LISTS.get(urlsplit(self.path).path)
        answer = {"kind": kind or "Status", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}
        body = json.dumps(answer).encode()
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that the base class has
        """Say nothing."""


@contextmanager
def empty_cluster() -> Iterator[str]:
    """An API server on a port of the loopback address; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
