"""nginx in a folder of its own, and what its log says in the tests' terms."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.http.account import Expected
from tests.e2e.http.calls import CHUNKED_SIZES, SIZES
from tests.e2e.http.certificates import Certificates
from tests.e2e.http.server import Server, wait_until
from tests.e2e.http.servers.echo import SERVICE
from tests.e2e.http.tools import tool
from tests.e2e.programs import finish, program
from tests.waiting import PATIENCE

WORKERS = 2
SWITCHED = 101
INTERIM_BYTES = len(b"HTTP/1.1 100 Continue\r\n\r\n")
TEXT = "".join(f"line {number} of a text that compresses\n" for number in range(1000))

CONFIGURATION = r"""
daemon off;
worker_processes {workers};
user root;  # the files are of whoever runs the tests
pid {folder}/pid;
error_log {folder}/errors notice;
events {{ worker_connections 512; }}
http {{
  log_format exchange escape=json
    '{{"method":"$request_method","target":"$request_uri","status":$status,"port":$server_port,'
    '"protocol":"$server_protocol","https":"$https","content_length":"$http_content_length",'
    '"coding":"$http_transfer_encoding","expect":"$http_expect","request_length":$request_length,'
    '"sent":$bytes_sent,"body_sent":$body_bytes_sent,"response_coding":"$sent_http_transfer_encoding"}}';
  access_log off;
  default_type text/plain;
  client_max_body_size 16m;
  client_body_temp_path {folder}/temporary;
  proxy_temp_path {folder}/temporary;
  fastcgi_temp_path {folder}/temporary;
  uwsgi_temp_path {folder}/temporary;
  scgi_temp_path {folder}/temporary;
  keepalive_requests 100000;
  http2_max_concurrent_streams 128;
  large_client_header_buffers 4 16k;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_certificate {certificate};
  ssl_certificate_key {key};

  # What is answered by a program in other sites. Its connections are no TCP, so that they are no exchanges here.
  server {{
    listen unix:{folder}/behind;
    root {folder}/files;
    location ~ ^/chunked/(\d+)/ {{
      ssi on;  # what might be changed by includes has no length beforehand
      ssi_types *;
      rewrite ^/chunked/(\d+)/ /$1 break;
    }}
    location ~ ^/upload/(\d+)/ {{
      error_page 405 =200 /$1;
      rewrite ^/upload/(\d+)/ /$1 break;
    }}
  }}
  upstream application {{
    server {upstream};
    keepalive 8;
  }}
  {servers}
}}
"""
SERVER = r"""
  server {{
    listen 127.0.0.1:{port} {options};
    {directives}
    access_log {log} exchange;
    root {folder}/files;
    location ~ ^/bytes/(\d+)/ {{ rewrite ^/bytes/(\d+)/ /$1 break; }}
    location ~ ^/(chunked|upload)/ {{ proxy_pass http://unix:{folder}/behind; }}
    location /status/204/ {{ return 204; }}
    location /status/404/ {{ return 404; }}
    location /status/500/ {{ return 500 "as told\n"; }}
    location /text/ {{
      gzip on;
      gzip_types text/plain;
      rewrite ^ /text break;
    }}
    location /application/ {{
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_pass http://application/;
    }}
    location {service} {{ grpc_pass grpc://application; }}
    location /socket/ {{
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_pass http://application;
    }}
  }}
"""
LISTENERS = {
    "plain": ("", "sendfile on; tcp_nopush on;"),
    "written": ("", "sendfile off;"),
    "tls": ("ssl http2", ""),
    "h2c": ("http2", ""),
}


@contextmanager
def nginx(folder: Path, certificates: Certificates, upstream: int = 9) -> Iterator[dict[str, Server]]:
    """nginx with a port for each of LISTENERS; `upstream` is the port of what is behind /application/."""
    binary = tool("nginx")
    files = folder / "files"
    files.mkdir(parents=True)
    for size in {*SIZES, *CHUNKED_SIZES, 100_000}:
        (files / str(size)).write_bytes(b"x" * size)
    (files / "text").write_text(TEXT)
    (folder / "temporary").mkdir()
    with ExitStack() as stack:
        # nginx takes over listening sockets that its environment names, so that no port can be lost in between.
        sockets = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in LISTENERS}
        for listener in sockets.values():
            # It leaves them as they are, and a worker that comes too late for a connection would wait in accept.
            listener.settimeout(0)
        ports = {name: listener.getsockname()[1] for name, listener in sockets.items()}
        logs = {name: folder / f"{name}.log" for name in LISTENERS}
        servers = [
            SERVER.format(
                port=ports[name], options=options, directives=directives, log=logs[name], folder=folder, service=SERVICE
            )
            for name, (options, directives) in LISTENERS.items()
        ]
        configuration = folder / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                certificate=certificates.certificate,
                key=certificates.key,
                upstream=f"127.0.0.1:{upstream}",
                servers="".join(servers),
                workers=WORKERS,
            )
        )
        errors = folder / "errors"
        descriptors = [listener.fileno() for listener in sockets.values()]
        process = stack.enter_context(
            program(
                [binary, "-e", errors, "-c", configuration, "-p", folder],
                env={**os.environ, "NGINX": "".join(f"{descriptor};" for descriptor in descriptors)},
                pass_fds=descriptors,
            )
        )
        stack.callback(end_with_workers, process)
        wait_until(lambda: errors.exists() and errors.read_text().count("start worker process ") == WORKERS, errors)
        yield {
            name: Server(ports[name], logs[name], process, certificates.authority if name == "tls" else None, read_log)
            for name in LISTENERS
        }
        finish(process, signal.SIGQUIT)


def end_with_workers(process: subprocess.Popen[bytes]) -> None:
    """Its workers would outlive a process that is killed."""
    if process.poll() is None:
        process.terminate()
        process.wait(PATIENCE)


def read_log(text: str) -> list[Expected]:
    """Lines of the format above."""
    return [_exchange(json.loads(line)) for line in text.splitlines()]


def _exchange(said: dict[str, Any]) -> Expected:
    version = int(said["protocol"].removeprefix("HTTP/")[0])
    request_body = None if said["coding"] or version == 2 else 0
    if said["content_length"]:
        request_body = int(said["content_length"])
    response_body = 0 if said["status"] == SWITCHED else said["body_sent"]  # what follows that is no body
    if said["expect"]:
        response_body -= INTERIM_BYTES  # nginx takes all for the body that is not the final response's head
    response_headers = said["sent"] - response_body
    request_headers = None if request_body is None else said["request_length"] - request_body
    if said["response_coding"] == "chunked" and said["method"] != "HEAD":
        response_body = None  # nginx counts the framing of chunks; the client says what is in them
    if version == 2 or said["status"] == SWITCHED:
        request_headers = response_headers = None  # nginx counts what frames are made of, and what is no HTTP
    return Expected(
        method=said["method"],
        path=said["target"].partition("?")[0],
        status=said["status"],
        request_body_bytes=request_body,
        response_body_bytes=response_body,
        request_header_bytes=request_headers,
        response_header_bytes=response_headers,
        version=version,
        tls=said["https"] == "on",
    )
