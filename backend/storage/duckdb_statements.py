"""The tables of DuckdbStorage, and every statement it executes."""

SCHEMA_VERSION = 1
"""Changes when a file that was written before cannot be used as it is."""

ENDPOINTS = """
CREATE TABLE IF NOT EXISTS endpoints (
    id VARCHAR PRIMARY KEY, service_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL
);
"""

SCHEMA = f"""
{ENDPOINTS}
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE names (id INTEGER NOT NULL, text VARCHAR NOT NULL);
CREATE TABLE writers (id INTEGER NOT NULL, text VARCHAR NOT NULL, minute INTEGER NOT NULL);
CREATE TABLE fresh (
    minute INTEGER NOT NULL, metric INTEGER NOT NULL, entity INTEGER NOT NULL, writer INTEGER NOT NULL,
    summation BIGINT NOT NULL, "count" BIGINT NOT NULL
);
CREATE TABLE merged (
    minute INTEGER NOT NULL, metric INTEGER NOT NULL, entity INTEGER NOT NULL,
    summation BIGINT NOT NULL, "count" BIGINT NOT NULL
);
CREATE TABLE merged_writers (writer INTEGER NOT NULL, minute INTEGER NOT NULL, merged INTEGER NOT NULL);
CREATE TABLE relations (
    minute INTEGER NOT NULL, instances BOOLEAN NOT NULL, relation INTEGER NOT NULL, source INTEGER NOT NULL,
    destination INTEGER NOT NULL, server BOOLEAN NOT NULL, component INTEGER NOT NULL
);
CREATE TABLE services (
    id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, layer VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL
);
CREATE TABLE instances (
    id VARCHAR PRIMARY KEY, service_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL
);
-- Sums of 64-bit numbers are 128 bits wide; one that does not fit back becomes the largest that does.
CREATE MACRO total(x) AS least(greatest(sum(x), -9223372036854775808), 9223372036854775807)::BIGINT;
"""


_SEE_PARTS = """
    INSERT INTO {table}
    SELECT id, any_value(service_id), any_value(name), min(first_minute), max(last_minute) FROM staged GROUP BY id
    ON CONFLICT (id) DO UPDATE SET
        first_minute = least(first_minute, excluded.first_minute),
        last_minute = greatest(last_minute, excluded.last_minute)
    WHERE excluded.first_minute < first_minute OR excluded.last_minute > last_minute
"""


class Statement:
    """SQL by what it is for. Parameters are named; `staged` is what is being written, as columns."""

    TABLES = "SELECT table_name FROM duckdb_tables()"
    VERSION = "SELECT max(version) FROM schema_version"
    SET_VERSION = "INSERT INTO schema_version VALUES ($version)"

    FIND_NAMES = "SELECT text, id FROM names WHERE text IN (SELECT unnest($texts::VARCHAR[]))"
    TEXTS = "SELECT id, text FROM names WHERE id IN (SELECT unnest($ids::INTEGER[]))"
    LAST_NAME = "SELECT max(id) FROM names"
    INSERT_NAMES = """
        INSERT INTO names
        SELECT $first + generate_subscripts(texts, 1) - 1, unnest(texts) FROM (SELECT $texts::VARCHAR[] AS texts)
    """
    FIND_WRITER = "SELECT id FROM writers WHERE text = $text"
    LAST_WRITER = "SELECT max(id) FROM writers"
    INSERT_WRITER = "INSERT INTO writers VALUES ($id, $text, $minute)"

    INSERT_POINTS = """
        INSERT INTO fresh SELECT minute, metric, entity, writer, summation, "count" FROM staged
    """
    REPLACE_POINTS = """
        DELETE FROM fresh USING staged
        WHERE fresh.writer = $writer
          AND fresh.minute = staged.minute AND fresh.metric = staged.metric AND fresh.entity = staged.entity
    """
    INSERT_POINTS_AGAIN = """
        INSERT INTO fresh SELECT minute, metric, entity, writer, summation, "count" FROM staged
        WHERE minute NOT IN (SELECT minute FROM merged_writers WHERE writer = $writer)
    """
    INSERT_RELATIONS = """
        INSERT INTO relations
        SELECT DISTINCT minute, instances, relation, source, destination, server, component FROM staged
        WHERE NOT EXISTS (
            FROM relations AS r
            WHERE r.minute BETWEEN $first AND $last
              AND r.minute = staged.minute AND r.instances = staged.instances AND r.relation = staged.relation
              AND r.server = staged.server AND r.component = staged.component
        )
    """
    SEE_SERVICES = """
        INSERT INTO services
        SELECT id, any_value(name), any_value(layer), min(first_minute), max(last_minute) FROM staged GROUP BY id
        ON CONFLICT (id) DO UPDATE SET
            first_minute = least(first_minute, excluded.first_minute),
            last_minute = greatest(last_minute, excluded.last_minute)
        WHERE excluded.first_minute < first_minute OR excluded.last_minute > last_minute
    """
    SEE_INSTANCES = _SEE_PARTS.format(table="instances")
    SEE_ENDPOINTS = _SEE_PARTS.format(table="endpoints")

    SERVICES = "SELECT id, name, layer, first_minute, last_minute FROM services ORDER BY name, id"
    INSTANCES = """
        SELECT id, service_id, name, first_minute, last_minute FROM instances
        WHERE service_id = $service AND first_minute <= $last AND last_minute >= $first ORDER BY name, id
    """
    ENDPOINTS = """
        SELECT id, service_id, name, first_minute, last_minute FROM endpoints
        WHERE ($service IS NULL OR service_id = $service) AND first_minute <= $last AND last_minute >= $first
        ORDER BY name, id
    """
    SERVICE_RELATIONS = """
        SELECT n.text, s.text, d.text, if(server, 'server', 'client') AS side, component, max(minute)
        FROM relations AS r
        JOIN names AS n ON n.id = r.relation JOIN names AS s ON s.id = r.source JOIN names AS d ON d.id = r.destination
        WHERE NOT instances AND minute BETWEEN $first AND $last
        GROUP BY ALL ORDER BY n.text, side, component
    """
    INSTANCE_RELATIONS = """
        SELECT n.text, s.text, d.text, if(server, 'server', 'client') AS side, component, max(minute)
        FROM relations AS r
        JOIN names AS n ON n.id = r.relation JOIN names AS s ON s.id = r.source JOIN names AS d ON d.id = r.destination
        WHERE instances AND minute BETWEEN $first AND $last
          AND starts_with(s.text, $source) AND starts_with(d.text, $destination)
        GROUP BY ALL ORDER BY n.text, side, component
    """
    POINTS = """
        SELECT minute, metric, entity, total(summation) AS summation, total("count") AS "count" FROM (
            SELECT minute, metric, entity, summation, "count" FROM merged
            UNION ALL
            SELECT minute, metric, entity, summation, "count" FROM fresh
        )
        WHERE minute BETWEEN $first AND $last
          AND metric IN (SELECT unnest($metrics::INTEGER[]))
          AND ($every OR entity IN (SELECT unnest($entities::INTEGER[])))
        GROUP BY minute, metric, entity
    """

    REMEMBER_WRITERS = """
        INSERT INTO merged_writers SELECT DISTINCT writer, minute, $closed FROM fresh WHERE minute < $closed
    """
    # Rows that are asked for together lie together.
    MERGE = """
        INSERT INTO merged
        SELECT minute, metric, entity, total(summation), total("count") FROM fresh WHERE minute < $closed
        GROUP BY minute, metric, entity ORDER BY metric, minute, entity
    """
    CLEAR_MERGED = "DELETE FROM fresh WHERE minute < $closed"
    FORGET_MERGED_WRITERS = "DELETE FROM merged_writers WHERE merged < $before"
    FORGET_WRITERS = """
        DELETE FROM writers WHERE id NOT IN (SELECT writer FROM merged_writers)
          AND id NOT IN (SELECT writer FROM fresh) AND minute < $before
    """
    FORGET = (
        "DELETE FROM merged WHERE minute < $oldest",
        "DELETE FROM fresh WHERE minute < $oldest",
        "DELETE FROM relations WHERE minute < $oldest",
        "DELETE FROM services WHERE last_minute < $oldest",
        "DELETE FROM instances WHERE last_minute < $oldest",
        "DELETE FROM endpoints WHERE last_minute < $oldest",
    )
    FORGET_NAMES = """
        DELETE FROM names WHERE id NOT IN (
            SELECT metric FROM merged UNION SELECT entity FROM merged
            UNION SELECT metric FROM fresh UNION SELECT entity FROM fresh
            UNION SELECT relation FROM relations UNION SELECT source FROM relations
            UNION SELECT destination FROM relations
        )
    """
