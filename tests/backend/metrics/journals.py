"""Batches that are told apart, and comparing them."""

from typing import Any

import numpy as np

from backend.ingest.batch import Connection, LogBatch

OWN = ("connection", "kind", "minute", "duration_ns")


def told(connection: Connection) -> tuple[Any, ...]:
    """All that a connection says; connections themselves are compared by identity."""
    return (
        connection.node,
        connection.local,
        connection.remote,
        connection.role,
        connection.tls,
        connection.protocol,
        connection.ztunnel,
    )


def assert_same(found: LogBatch, expected: LogBatch) -> None:
    """Assert that two batches are equal, types of columns included."""
    assert list(map(told, found.connections)) == list(map(told, expected.connections))
    assert list(found.texts) == list(expected.texts)
    assert found.identifier == expected.identifier
    assert found.columns.keys() == expected.columns.keys()
    pairs = [(getattr(found, name), getattr(expected, name)) for name in OWN]
    pairs += [(found.columns[name], column) for name, column in expected.columns.items()]
    for left, right in pairs:
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
