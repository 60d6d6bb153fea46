"""What happens on the machine during bench/soak.py: programs, pods, connections, networks, libraries come and go.

Each kind is a thread that does its work at a steady pace until it is told to stop, and counts what it did. Work that
could not be done in time is not made up for: the counts say what really happened.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.agent.discovery.control_groups import ROOTS
from tests.agent.discovery.kubernetes.pods import manifest, uid
from tests.common.kubernetes import manifests
from tests.common.kubernetes.api_server import ApiServer

PODS_AT_ONCE: Final = 30
SERVICES: Final = 20
"""Pods belong to so many services."""
NODE: Final = "soak-node"
_LIMIT_SECONDS: Final = 30.0
"""Of any single program that is started here."""
_CALL: Final = (
    'echo $$ > "$0/cgroup.procs"; exec 3<>/dev/tcp/127.0.0.1/$1; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3 >&2;'
    " echo done; exec sleep 1000"
)
_IN_A_NETWORK: Final = (
    "import socket,time\na=socket.create_server(('127.0.0.1',0));b=socket.create_connection(a.getsockname());"
    "c=a.accept()[0]\nb.send(b'x');c.recv(1);print(flush=True)\ntime.sleep(1000)"
)


class Churn:
    """Threads that keep a machine busy.

    Attributes:
        done: What was done how often, by kind.
        failed: What could not be done, by kind and reason.
    """

    def __init__(self) -> None:
        """Nothing happens yet."""
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, kind: str, times_a_second: float, work: Callable[[int], None]) -> None:
        """Do something at a pace, with 0, 1, ... as its argument."""
        thread = threading.Thread(target=self._run, args=(kind, 1 / times_a_second, work), name=kind)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """Finish what is being done."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _run(self, kind: str, pause: float, work: Callable[[int], None]) -> None:
        number = 0
        while not self._ending.wait(pause):
            try:
                work(number)
                self.done[kind] += 1
            except (OSError, subprocess.SubprocessError) as error:
                self.failed[f"{kind}: {type(error).__name__}"] += 1
            number += 1


def run_program(_number: int) -> None:
    """A program that begins and ends."""
    subprocess.run(["/bin/true"], check=True, timeout=_LIMIT_SECONDS)


def call(port: int) -> None:
    """A connection with one exchange of HTTP/1, which is closed."""
    with socket.create_connection(("127.0.0.1", port), _LIMIT_SECONDS) as connected:
        connected.sendall(b"GET /once HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
        while connected.recv(1 << 16):
            pass


def _groups() -> Path:
    for folder in ROOTS:
        if (folder / "cgroup.procs").exists() and os.access(folder, os.W_OK):
            return folder
    raise SystemExit("no control groups that may be changed; run this as root, on the host")


class Pods:
    """Pods of a node that begin, make one call, stay for a while and end, as an API server and the kernel show them."""

    def __init__(self, server: ApiServer, port: int) -> None:
        """Services are there from the start.

        Args:
            server: Of the cluster.
            port: Of a server that speaks HTTP/1 on the loopback address.
        """
        self._server, self._port = server, port
        self._folder = _groups() / f"pyrover-soak-{os.getpid()}" / "kubepods" / "burstable"
        self._folder.mkdir(parents=True)
        self._alive: list[tuple[str, Path, subprocess.Popen[bytes]]] = []
        for number in range(SERVICES):
            address = f"10.96.0.{number + 1}"
            wanted = manifests.service(f"app-{number}", address, namespace="soak", selector={"app": f"app-{number}"})
            server.put("services", wanted)

    def churn(self, number: int) -> None:
        """One more pod; the one that is there longest goes."""
        name, container = f"app-{number % SERVICES}-{number}", f"{os.getpid():08x}{number:056x}"
        group = self._folder / f"pod{uid(number)}" / container
        group.mkdir(parents=True)
        labels = {"app": f"app-{number % SERVICES}"}
        made = manifest(
            name, {"main": f"containerd://{container}"}, namespace="soak", labels=labels, pod_uid=uid(number), node=NODE
        )
        self._server.put("pods", made)
        command = ["bash", "-c", _CALL, str(group), str(self._port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._alive.append((name, group, process))
        if process.stdout is None:
            raise AssertionError
        if process.stdout.readline() != b"done\n":
            raise subprocess.SubprocessError("a pod has not made its call")
        if len(self._alive) > PODS_AT_ONCE:
            self._end(*self._alive.pop(0))

    def close(self) -> None:
        """Leave nothing behind."""
        for pod in self._alive:
            self._end(*pod)
        for folder in (self._folder, *self._folder.parents[:2]):
            with suppress(OSError):
                folder.rmdir()

    def _end(self, name: str, group: Path, process: "subprocess.Popen[bytes]") -> None:
        with process:
            process.kill()
        self._server.delete("pods", "soak", name)
        for folder in (group, group.parent):
            folder.rmdir()


def delete_network(number: int) -> None:
    """A network namespace that loses its name while a program with a connection is in it, which is then killed."""
    name = f"pyrover-soak-{os.getpid()}-{number}"
    subprocess.run(["ip", "netns", "add", name], check=True, timeout=_LIMIT_SECONDS)
    try:
        inside = ["ip", "netns", "exec", name]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True, timeout=_LIMIT_SECONDS)
        command = [*inside, sys.executable, "-c", _IN_A_NETWORK]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            if process.stdout is None:
                raise AssertionError
            process.stdout.readline()
            subprocess.run(["ip", "netns", "delete", name], check=True, timeout=_LIMIT_SECONDS)
            process.kill()
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, stderr=subprocess.DEVNULL, timeout=_LIMIT_SECONDS)


class Library:
    """A TLS library that is replaced on disk while a program has it mapped."""

    def __init__(self, folder: Path, original: Path) -> None:
        """Copy the library to a folder of its own."""
        self._folder, self._original = folder, original
        folder.mkdir()
        self._put()

    def replace(self, _number: int) -> None:
        """A program maps the library; the file is replaced as package managers do it; the program ends."""
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self._folder)}
        command = ["openssl", "enc", "-base64", "-A"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
            self._await_mapping(process.pid)
            self._put()
            said, _ = process.communicate(b"soak", timeout=_LIMIT_SECONDS)
        if said != b"c29haw==":
            raise subprocess.SubprocessError(said)

    def _await_mapping(self, process: int) -> None:
        wanted, end = str(self._folder / self._original.name), time.monotonic() + _LIMIT_SECONDS
        while wanted not in Path(f"/proc/{process}/maps").read_text():
            if time.monotonic() > end:
                raise TimeoutError(f"openssl has not mapped {wanted}")
            time.sleep(0.005)

    def _put(self) -> None:
        new = self._folder / "new"
        shutil.copy(self._original, new)
        new.rename(self._folder / self._original.name)
