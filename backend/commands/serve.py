"""`pyrover-backend serve`: receive, analyse, store and answer until told to stop."""

import argparse
import asyncio
import errno
import json
import logging
import os
import signal
import sys
from pathlib import Path

from backend.dashboards.model import DashboardError
from backend.oal.syntax import OalError
from backend.server.backend import running
from backend.server.loading import load
from backend.server.ports import Ports
from backend.server.serving import PortError, allow_descriptors
from backend.server.settings import Settings, SettingsError
from backend.storage.interface import StorageError

_logger = logging.getLogger(__name__)

_WRONG_USE = 2
_FAILED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a YAML file of settings, such as SkyWalking's application.yml; the environment (PYROVER_BACKEND_GRPC_PORT"
        " and so on) and these options win",
    )
    parser.add_argument("--host", help="address to listen on (default: every address of this machine)")
    parser.add_argument(
        "--grpc-port", type=int, metavar="PORT", help="where agents send (default: 11800; 0: any free port)"
    )
    parser.add_argument(
        "--http-port", type=int, metavar="PORT", help="the console and its API (default: 12800; 0: any free port)"
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of the store, made if it does not exist (default: /var/lib/pyrover for root, else"
        " ~/.local/share/pyrover)",
    )
    parser.add_argument(
        "--ready-fd",
        type=int,
        metavar="N",
        help="write one line of JSON with the addresses to file descriptor N when everything is ready, and close it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 after a clean end, 1 for a failure, 2 for wrong settings."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    flags = {name: getattr(arguments, name) for name in ("host", "grpc_port", "http_port", "data")}
    try:
        _check_ready_fd(arguments.ready_fd)
        settings = load(arguments.config, os.environ, flags)
        allow_descriptors()
        ports = Ports.listen(settings)
        _use(settings.folder)
        asyncio.run(_serve(settings, ports, arguments.ready_fd))
    except SettingsError as error:
        return _fail(error, _WRONG_USE)
    except (PortError, StorageError, OalError, DashboardError, OSError) as error:
        return _fail(error, _FAILED)
    return 0


async def _serve(settings: Settings, ports: Ports, ready_fd: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # By default the signal would end a backend that is still starting.
    loop.add_signal_handler(signal.SIGHUP, _logger.info, "still starting, with the files as they are: no reload")
    listening = (
        "listening on %s for agents and on %s for questions; getting ready, which takes longer at the first start"
    )
    _logger.info(listening, ports.grpc.authority, ports.http.authority)
    async with running(settings, ports) as backend:
        loop.add_signal_handler(signal.SIGHUP, backend.reloader.soon)
        scheme = "https" if settings.http_tls.enabled else "http"
        addresses = {"grpc": ports.grpc.authority, "http": f"{scheme}://{ports.http.authority}"}
        sys.stdout.write(f"pyrover-backend is ready: gRPC {addresses['grpc']}, console {addresses['http']}/\n")
        sys.stdout.flush()
        if ready_fd is not None:
            with os.fdopen(ready_fd, "w") as ready:
                ready.write(json.dumps(addresses) + "\n")
        await stop.wait()


def _check_ready_fd(ready_fd: int | None) -> None:
    if ready_fd is not None:
        try:
            os.fstat(ready_fd)
        except OSError as error:
            raise SettingsError(f"--ready-fd {ready_fd} is not an open file descriptor: {error.strerror}") from error


def _use(folder: Path) -> None:
    """Make the folder of the store when it does not exist. Raises SettingsError when it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = "it is no folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise SettingsError(f"{folder} cannot hold the store: {reason}; name another folder with --data") from error


def _fail(error: Exception, status: int) -> int:
    sys.stderr.write(f"pyrover-backend serve: {error}\n")
    return status
