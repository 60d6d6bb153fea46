"""Opens a store by what users write: `duckdb:PATH` or `clickhouse://USER:PASSWORD@HOST:PORT/DATABASE?cluster=NAME`."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from backend.storage.clickhouse import ClickhouseStorage
from backend.storage.clickhouse_server import Address
from backend.storage.duckdb import DuckdbStorage
from backend.storage.interface import Storage, StorageError

FORMS = "duckdb:PATH or clickhouse://HOST:PORT/DATABASE?cluster=NAME"
_CLICKHOUSE_PORT = 9000


def open_storage(url: str, *, memory_limit: str = "1GB") -> Storage:
    """Open the store that a URL names, and make it when it does not exist.

    Args:
        url: `duckdb:` and a file, or `clickhouse://` and a server; of the latter, the port (9000), the database
            (default), user and password, and the cluster may be left out. Special characters of user and password are
            percent-encoded.
        memory_limit: most memory that DuckDB may use, such as "512MB".

    Raises:
        StorageError: the URL is not of these forms, or the store cannot be opened; the message never has the password.
    """
    kind, _, rest = url.partition(":")
    if kind == "duckdb":
        if not rest:
            raise StorageError(f"{url!r} names no file: write {FORMS}")
        return DuckdbStorage(Path(rest), memory_limit=memory_limit)
    if kind == "clickhouse":
        return ClickhouseStorage(*_clickhouse(url))
    raise StorageError(f"{kind!r} is no kind of store: write {FORMS}")


def _clickhouse(url: str) -> tuple[Address, str | None]:
    try:
        parts = urlsplit(url)
        port = _CLICKHOUSE_PORT if parts.port is None else parts.port
    except ValueError as error:
        raise StorageError(f"the address of ClickHouse is wrong ({error}): write {FORMS}") from error
    if not parts.hostname:
        raise StorageError(f"the address of ClickHouse names no host: write {FORMS}")
    return (
        Address(
            parts.hostname,
            port,
            parts.path.strip("/") or "default",
            unquote(parts.username or "default"),
            unquote(parts.password or ""),
        ),
        _options(parts).get("cluster"),
    )


def _options(parts: SplitResult) -> Mapping[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in options.items():
        if name != "cluster":
            raise StorageError(f"{name!r} is no option of ClickHouse: the only one is cluster")
        if not value:
            raise StorageError("the option cluster is empty: name a cluster, or leave it out")
    return options
