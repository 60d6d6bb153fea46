"""Real ClickHouse servers for tests: on free ports of the loopback address, with their own configuration and data."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from clickhouse_driver import Client
from clickhouse_driver.errors import Error

from tests.ports import free_ports
from tests.waiting import until

PROGRAM = shutil.which("clickhouse-server") or shutil.which("clickhouse-server", path="/usr/bin:/usr/sbin")
CLUSTER = "two"
_MEMORY = Path("/dev/shm")  # noqa: S108 - only a folder with a random name is made there
_ROOM = 1 << 30

_CONFIGURATION = """<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>{port}</tcp_port>
  <path>{folder}/data/</path>
  <tmp_path>{folder}/tmp/</tmp_path>
  <user_files_path>{folder}/files/</user_files_path>
  <format_schema_path>{folder}/formats/</format_schema_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
  <remote_servers><{cluster}>{shards}</{cluster}></remote_servers>
</yandex>
"""
_SHARD = "<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>"
_USERS = """<?xml version="1.0"?>
<yandex>
  <profiles><default><max_threads>2</max_threads></default></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  </default></users>
</yandex>
"""


class ClickhouseServer:
    """A server that is started, killed and started again."""

    def __init__(self, folder: Path, port: int, shards: list[int]) -> None:
        self.port = port
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        described = "".join(_SHARD.format(port=shard) for shard in shards)
        (folder / "config.xml").write_text(
            _CONFIGURATION.format(port=port, folder=folder, cluster=CLUSTER, shards=described)
        )
        (folder / "users.xml").write_text(_USERS)

    @property
    def processor_seconds(self) -> float:
        """What the process that runs has used of processors, of user and system (proc(5), fields 14 and 15)."""
        assert self._process
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def start(self) -> None:
        """Start, and wait until it answers."""
        assert PROGRAM
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, f"--config-file={self._folder / 'config.xml'}"], cwd=self._folder, stdout=log, stderr=log
            )
        process = self._process
        until(lambda: process.poll() is not None or self._answers(), self._said)  # it does not say when it listens
        assert process.poll() is None, self._said()

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Rows, over a connection of its own."""
        client = Client("127.0.0.1", port=self.port)
        try:
            rows: list[tuple[object, ...]] = client.execute(statement)
            return rows
        finally:
            client.disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _said(self) -> str:
        return f"ClickHouse answers; it said:\n{(self._folder / 'log').read_text(errors='replace')}"

    def _answers(self) -> bool:
        try:
            return self.query("SELECT 1") == [(1,)]
        except (Error, OSError, EOFError):
            return False


def folder_for_data() -> Path:
    """Where there is room for thousands of small files that are soon deleted: in memory, if it has that much."""
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM:
        return _MEMORY
    return Path(tempfile.gettempdir())


@contextmanager
def running_servers(count: int = 2, folder_of_all: Path | None = None) -> Iterator[list[ClickhouseServer]]:
    """Servers that know each other as the shards of CLUSTER; their data is in a folder that is deleted at the end."""
    below = folder_of_all or folder_for_data()
    with tempfile.TemporaryDirectory(prefix="clickhouse-", dir=below) as folder, ExitStack() as stack:
        ports = free_ports(count)
        servers = [stack.enter_context(ClickhouseServer(Path(folder) / str(port), port, ports)) for port in ports]
        for server in servers:
            server.start()
        yield servers
