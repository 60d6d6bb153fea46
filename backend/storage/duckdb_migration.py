"""What brings the file of an earlier version to the present one."""

# ruff: noqa: S608 - names of tables and columns are those of this module; values are parameters

import duckdb

from backend.storage.duckdb_rows import MEASURES, METRICS
from backend.storage.duckdb_statements import ENDPOINTS, ENTITIES, ROLLED

# Version 1 had the bucket of a percentile in the metric's name, as "metric:bucket".
_PARTS = r"""
CREATE TEMP TABLE parts AS
    SELECT id AS old,
           if(regexp_matches(text, '^.*:[0-9]+$'), regexp_extract(text, '^(.*):[0-9]+$', 1), text) AS metric_text,
           regexp_extract(text, ':([0-9]+)$', 1) AS label_text
    FROM names WHERE id IN (SELECT metric FROM merged UNION SELECT metric FROM fresh);
INSERT INTO names
    SELECT (SELECT coalesce(max(id), 0) FROM names) + row_number() OVER (ORDER BY text), text
    FROM (SELECT metric_text AS text FROM parts UNION SELECT label_text FROM parts)
    WHERE text NOT IN (SELECT text FROM names);
CREATE TEMP TABLE renumbered AS
    SELECT old, m.id AS metric, l.id AS label FROM parts
    JOIN names AS m ON m.text = metric_text JOIN names AS l ON l.text = label_text;
"""
_ROWS = f"""
INSERT INTO {METRICS.name}_minutes
    SELECT minute, r.metric, r.label, entity, summation, "count" FROM merged
    JOIN renumbered AS r ON r.old = merged.metric
    ORDER BY r.metric, minute, entity, r.label;
INSERT INTO {METRICS.name}_fresh
    SELECT minute, r.metric, r.label, entity, writer, summation, "count" FROM fresh
    JOIN renumbered AS r ON r.old = fresh.metric;
DROP TABLE merged;
DROP TABLE fresh;
DROP TABLE parts;
DROP TABLE renumbered;
"""
_ENTITIES_BEFORE = """
CREATE TEMP TABLE old_relations AS FROM relations;
CREATE TEMP TABLE old_services AS FROM services;
CREATE TEMP TABLE old_instances AS FROM instances;
DROP TABLE relations;
DROP TABLE services;
DROP TABLE instances;
"""
_ENTITIES_AFTER = """
INSERT INTO relations
    SELECT minute, instances::INTEGER, relation, source, destination, server, component FROM old_relations;
INSERT INTO services SELECT id, name, layer, first_minute, last_minute, true FROM old_services;
INSERT INTO instances SELECT id, service_id, name, first_minute, last_minute, '', -1 FROM old_instances;
DROP TABLE old_relations;
DROP TABLE old_services;
DROP TABLE old_instances;
"""


def from_version_1(cursor: duckdb.DuckDBPyConnection) -> None:
    """Move everything into the tables of version 2; hours and days are made when the store is maintained.

    Raises:
        duckdb.Error: the file is not what version 1 wrote; the transaction must be taken back.
    """
    for script in (
        *(ROLLED, METRICS.schema(), MEASURES.schema(), _PARTS, _ROWS),
        *(_ENTITIES_BEFORE, ENTITIES, _ENTITIES_AFTER, ENDPOINTS),
    ):
        cursor.execute(script)
