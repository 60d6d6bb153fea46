"""Makes the database and the tables of ClickhouseStorage on one server, or refuses those that it finds."""

import re
from dataclasses import replace

from backend.storage.clickhouse_server import Server
from backend.storage.clickhouse_tables import CLAIMS, MEASURES, METRICS, SCHEMA_VERSION, creations
from backend.storage.interface import Precision, StorageError

_DATABASE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def prepare(server: Server, cluster: str | None) -> None:
    """Make what is missing; tables that ask every shard, too, when a cluster is given.

    Raises:
        StorageError: the server cannot be reached, the database is not pyrover's, or a newer pyrover wrote it.
    """
    at = server.address
    if not _DATABASE.fullmatch(at.database):
        raise StorageError(f"{at.database!r} cannot be a database: use letters, digits and underscores")
    anywhere = Server(replace(at, database=""))
    try:
        if not anywhere.ask("SELECT name FROM system.databases WHERE name = %(name)s", {"name": at.database}):
            anywhere.do(f"CREATE DATABASE IF NOT EXISTS {at.database}")
    finally:
        anywhere.close()
    tables = {str(name) for (name,) in server.ask("SELECT name FROM system.tables WHERE database = currentDatabase()")}
    if "schema_version" not in tables and tables & {*creations()}:
        raise StorageError(f"{at} has tables of another program: name another database")
    server.do("CREATE TABLE IF NOT EXISTS schema_version (version UInt32) ENGINE = MergeTree ORDER BY version")
    ((version,),) = server.ask("SELECT max(version) FROM schema_version")
    if int(str(version)) > SCHEMA_VERSION:
        raise StorageError(
            f"{at} was written by a newer pyrover (schema {version}, this one knows {SCHEMA_VERSION}): upgrade, or name"
            " another database"
        )
    if int(str(version)) == 1:
        _from_version_1(server)
    for name, creation in creations().items():
        server.do(creation)
        if cluster:
            server.do(
                f"CREATE TABLE IF NOT EXISTS every_{name} AS {name}"
                f" ENGINE = Distributed('{cluster}', '{at.database}', '{name}')"
            )
    # Without another version: programs of before need not know of it.
    server.do(CLAIMS)
    if "batches" in tables:
        server.do("INSERT INTO commits (id, writer, version, minute) SELECT id, writer, 0, minute FROM batches")
        server.do("DROP TABLE IF EXISTS batches")
    if int(str(version)) < SCHEMA_VERSION:
        server.insert("INSERT INTO schema_version (version) VALUES", [[SCHEMA_VERSION]])


def _from_version_1(server: Server) -> None:
    """Add the columns that are missing. What was stopped in the middle goes on at the next start."""
    for rows in (METRICS, MEASURES):
        table = rows.table(Precision.MINUTE)
        statement = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = %(table)s"
        known = {name for (name,) in server.ask(statement, {"table": table})}
        for name, kind in rows.added.items():
            if name not in known:
                server.do(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        # It has the columns of when it was made, and is made anew.
        server.do(f"DROP TABLE IF EXISTS every_{table}")
    server.do("DROP TABLE IF EXISTS every_batches")
