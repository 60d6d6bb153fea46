"""One ClickHouse server, or the servers of a cluster, as something that statements are given to."""

import logging
import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from clickhouse_driver import Client
from clickhouse_driver.errors import Error, ServerException

from backend.storage.interface import StorageError

# It tells of each failure with its whole stack; here, every failure is an error that says what to do.
logging.getLogger("clickhouse_driver").setLevel(logging.CRITICAL)

_CONNECTIONS = 4
"""Most connections to a server that are kept while nobody uses them."""
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 60
_SETTINGS = {
    "max_query_size": 64 * 1024 * 1024,  # a question may name many entities, and a commit a million batches
    "max_ast_elements": 1_000_000,
    "max_expanded_ast_elements": 1_000_000,
    "max_bytes_before_external_group_by": 1 << 30,  # an hour of everything need not fit into memory
    "skip_unavailable_shards": 0,  # what is committed there must not be taken for not committed
}


class RefusedError(StorageError):
    """A server has answered with an error.

    Attributes:
        code: of the error, as ClickHouse numbers them.
    """

    def __init__(self, message: str, code: int) -> None:
        """Say which."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is, and as whom to talk to it."""

    host: str
    port: int
    database: str = "default"
    user: str = "default"
    password: str = ""

    def __str__(self) -> str:
        """As it is written in messages: without the password."""
        return f"clickhouse://{self.host}:{self.port}/{self.database}"


class Server:
    """A server, with a few connections to it. Safe for several threads."""

    def __init__(self, address: Address) -> None:
        """Connect to nothing yet."""
        self.address = address
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue(_CONNECTIONS)
        self._is_closed = False

    def ask(self, statement: str, parameters: Mapping[str, object] | None = None) -> list[Sequence[object]]:
        """Rows of an answer.

        Raises:
            StorageError: the server cannot be reached, or refuses.
        """
        with self._client() as client:
            rows: list[Sequence[object]] = client.execute(statement, dict(parameters or {}))
            return rows

    def columns(self, statement: str, parameters: Mapping[str, object]) -> list[Sequence[object]]:
        """Columns of an answer; none when there are no rows. Raises StorageError."""
        with self._client() as client:
            columns: list[Sequence[object]] = client.execute(statement, dict(parameters), columnar=True)
            return columns

    def insert(self, statement: str, columns: Sequence[Sequence[object]]) -> None:
        """Insert columns, in their order in the statement. Raises StorageError."""
        with self._client() as client:
            client.execute(statement, columns, columnar=True)

    def do(self, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        """Execute what has no answer. Raises StorageError."""
        self.ask(statement, parameters)

    def close(self) -> None:
        """End the connections that nobody uses; the others end when their statement does."""
        self._is_closed = True
        while True:
            try:
                self._idle.get_nowait().disconnect()
            except queue.Empty:
                return

    @contextmanager
    def _client(self) -> Iterator[Client]:
        if self._is_closed:
            raise StorageError(f"{self.address} is closed")
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = self._connect()
        is_whole = False
        try:
            yield client
            is_whole = True
        except ServerException as error:
            # The server has answered: the connection is good for the next statement.
            is_whole = True
            raise RefusedError(f"{self.address} refuses: {_first_line(error)}", error.code) from error
        except (Error, OSError, EOFError) as error:
            raise StorageError(
                f"{self.address} cannot be reached: start it, or see that the network lets this host through ({error})"
            ) from error
        finally:
            self._put_back(client, is_whole=is_whole)

    def _put_back(self, client: Client, *, is_whole: bool) -> None:
        try:
            if is_whole and not self._is_closed:
                self._idle.put_nowait(client)
                return
        except queue.Full:
            pass
        client.disconnect()

    def _connect(self) -> Client:
        at = self.address
        # It connects when it is given the first statement, and again when the connection has ended.
        return Client(
            at.host,
            port=at.port,
            database=at.database,
            user=at.user,
            password=at.password,
            connect_timeout=_CONNECT_SECONDS,
            send_receive_timeout=_ANSWER_SECONDS,
            settings=_SETTINGS,
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to ask for everything: a server, and what the names of its tables that ask every shard begin with."""

    server: Server
    prefix: str = ""


def shards_of(address: Address, cluster: str) -> list[Address]:
    """The servers of a cluster, one for each shard, in order, as the server at an address knows them.

    Raises:
        StorageError: there is no such cluster, or it has shards with several replicas, or the server cannot be asked.
    """
    server = Server(replace(address, database=""))
    try:
        every = server.ask("SELECT cluster, shard_num, host_name, port FROM system.clusters ORDER BY shard_num")
    finally:
        server.close()
    rows = [row for name, *row in every if name == cluster]
    if not rows:
        names = ", ".join(sorted({str(name) for name, *_ in every}))
        raise StorageError(
            f"{address} knows no cluster {cluster!r}: name one of its remote_servers ({names or 'it has none'})"
        )
    if len({number for number, _, _ in rows}) < len(rows):
        raise StorageError(
            f"cluster {cluster!r} has shards with several replicas, which is not supported: name one with one server"
            " for each shard"
        )
    return [replace(address, host=str(host), port=int(str(port))) for _, host, port in rows]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
