"""The other tables of DuckdbStorage, and every statement about them."""

# ruff: noqa: S608 - names of tables and columns are those of this module; values are parameters

from backend.storage.duckdb_rows import MEASURES, METRICS

SCHEMA_VERSION = 3
"""Changes when a file that was written before cannot be used as it is."""

ENTITIES = """
CREATE TABLE relations (
    minute INTEGER NOT NULL, kind INTEGER NOT NULL, relation INTEGER NOT NULL, source INTEGER NOT NULL,
    destination INTEGER NOT NULL, server BOOLEAN NOT NULL, component INTEGER NOT NULL
);
CREATE TABLE services (
    id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, layers VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL, normal BOOLEAN NOT NULL
);
CREATE TABLE instances (
    id VARCHAR PRIMARY KEY, service_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL,
    properties VARCHAR NOT NULL, properties_minute INTEGER NOT NULL
);
"""

ENDPOINTS = """
CREATE TABLE IF NOT EXISTS endpoints (
    id VARCHAR PRIMARY KEY, service_id VARCHAR NOT NULL, name VARCHAR NOT NULL,
    first_minute INTEGER NOT NULL, last_minute INTEGER NOT NULL
);
"""

ROLLED = """
CREATE TABLE rolled (hours INTEGER NOT NULL, days INTEGER NOT NULL);
INSERT INTO rolled VALUES (0, 0);
"""

BATCHES = """
CREATE TABLE IF NOT EXISTS batches (number BIGINT NOT NULL, id VARCHAR NOT NULL, writer VARCHAR NOT NULL);
"""
"""Files of before batches were remembered get it when they are opened; programs of then leave it alone."""

BLOCKS = """
CREATE TABLE metrics_blocks (
    minute INTEGER NOT NULL, layout INTEGER NOT NULL, writer INTEGER NOT NULL, sums BLOB NOT NULL
);
"""

OPEN = 2**31 - 1
"""`merged` in merged_writers while the minute is open."""

SCHEMA = f"""
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE names (id INTEGER NOT NULL, text VARCHAR NOT NULL);
CREATE TABLE writers (id INTEGER NOT NULL, text VARCHAR NOT NULL, minute INTEGER NOT NULL);
CREATE TABLE merged_writers (writer INTEGER NOT NULL, minute INTEGER NOT NULL, merged INTEGER NOT NULL);
-- Sums of 64-bit numbers are 128 bits wide; one that does not fit back becomes the largest that does.
CREATE MACRO total(x) AS least(greatest(sum(x), -9223372036854775808), 9223372036854775807)::BIGINT;
{ROLLED}
{METRICS.schema()}
{MEASURES.schema()}
{BLOCKS}
{ENTITIES}
{ENDPOINTS}
"""

# Layers are text with one in each line.
_LAYERS = "array_to_string(list_sort(list_distinct(string_split({text}, chr(10)))), chr(10))"

_RELATIONS = """
    SELECT n.text, s.text, d.text, if(server, 'server', 'client') AS side, component, max(minute)
    FROM relations AS r
    JOIN names AS n ON n.id = r.relation JOIN names AS s ON s.id = r.source JOIN names AS d ON d.id = r.destination
    WHERE kind = $kind AND minute BETWEEN $first AND $last AND {condition}
    GROUP BY ALL ORDER BY n.text, side, component
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

    INSERT_BLOCKS = "INSERT INTO metrics_blocks SELECT minute, layout, writer, sums FROM staged"
    FOLDABLE = """
        SELECT minute, max(writer) FROM metrics_blocks
        WHERE writer BETWEEN 1 AND (SELECT max(id) FROM writers) - $replaceable
        GROUP BY minute HAVING count(DISTINCT writer) >= $folded_at
    """
    REMEMBER_FOLDED = f"""
        INSERT INTO merged_writers
        SELECT DISTINCT writer, minute, {OPEN} FROM metrics_blocks
        WHERE minute = $minute AND writer BETWEEN 1 AND $last
    """
    LAYOUTS = """
        SELECT id, text FROM names
        WHERE id IN (SELECT layout FROM metrics_blocks WHERE {condition}) ORDER BY id
    """
    LAYOUTS_OF = "SELECT DISTINCT layout FROM metrics_blocks WHERE minute BETWEEN $first AND $last"
    BLOCK_MINUTES = "SELECT DISTINCT minute FROM metrics_blocks WHERE {condition} ORDER BY minute"
    BLOCKS = "SELECT layout, minute, sums FROM metrics_blocks WHERE {condition} ORDER BY layout, minute"
    DELETE_BLOCKS = "DELETE FROM metrics_blocks WHERE {condition}"

    FIND_BATCHES = """
        SELECT id FROM batches WHERE id IN (SELECT unnest($ids::VARCHAR[])) AND writer <> $writer
    """
    LAST_BATCH = "SELECT max(number) FROM batches"
    TAKE_BATCHES_BACK = "DELETE FROM batches WHERE writer = $writer"
    INSERT_BATCHES = """
        INSERT INTO batches
        SELECT $first + generate_subscripts(ids, 1) - 1, unnest(ids), $writer FROM (SELECT $ids::VARCHAR[] AS ids)
    """
    FORGET_BATCHES = "DELETE FROM batches WHERE number < $oldest"

    INSERT_RELATIONS = """
        INSERT INTO relations
        SELECT DISTINCT minute, kind, relation, source, destination, server, component FROM staged
        WHERE NOT EXISTS (
            FROM relations AS r
            WHERE r.minute BETWEEN $first AND $last
              AND r.minute = staged.minute AND r.kind = staged.kind AND r.relation = staged.relation
              AND r.server = staged.server AND r.component = staged.component
        )
    """
    SEE_SERVICES = f"""
        INSERT INTO services
        SELECT id, any_value(name), {_LAYERS.format(text="string_agg(layers, chr(10))")}, min(first_minute),
               max(last_minute), bool_or(normal)
        FROM staged GROUP BY id
        ON CONFLICT (id) DO UPDATE SET
            layers = {_LAYERS.format(text="layers || chr(10) || excluded.layers")},
            first_minute = least(first_minute, excluded.first_minute),
            last_minute = greatest(last_minute, excluded.last_minute),
            normal = normal OR excluded.normal
        WHERE excluded.first_minute < first_minute OR excluded.last_minute > last_minute
           OR excluded.layers <> layers OR excluded.normal > normal
    """
    SEE_INSTANCES = """
        INSERT INTO instances
        SELECT id, any_value(service_id), any_value(name), min(first_minute), max(last_minute),
               max((properties_minute, properties))[2], max(properties_minute)
        FROM staged GROUP BY id
        ON CONFLICT (id) DO UPDATE SET
            first_minute = least(first_minute, excluded.first_minute),
            last_minute = greatest(last_minute, excluded.last_minute),
            properties =
                greatest((properties_minute, properties), (excluded.properties_minute, excluded.properties))[2],
            properties_minute = greatest(properties_minute, excluded.properties_minute)
        WHERE excluded.first_minute < first_minute OR excluded.last_minute > last_minute
           OR (excluded.properties_minute, excluded.properties) > (properties_minute, properties)
    """
    SEE_ENDPOINTS = """
        INSERT INTO endpoints
        SELECT id, any_value(service_id), any_value(name), min(first_minute), max(last_minute) FROM staged GROUP BY id
        ON CONFLICT (id) DO UPDATE SET
            first_minute = least(first_minute, excluded.first_minute),
            last_minute = greatest(last_minute, excluded.last_minute)
        WHERE excluded.first_minute < first_minute OR excluded.last_minute > last_minute
    """

    SERVICES = "SELECT id, name, layers, first_minute, last_minute, normal FROM services ORDER BY name, id"
    INSTANCES = """
        SELECT id, service_id, name, first_minute, last_minute, properties FROM instances
        WHERE ($service IS NULL OR service_id = $service) AND first_minute <= $last AND last_minute >= $first
        ORDER BY name, id
    """
    ENDPOINTS = """
        SELECT id, service_id, name, first_minute, last_minute FROM endpoints
        WHERE ($service IS NULL OR service_id = $service) AND first_minute <= $last AND last_minute >= $first
        ORDER BY name, id
    """
    SERVICE_RELATIONS = _RELATIONS.format(condition="true")
    INSTANCE_RELATIONS = _RELATIONS.format(
        condition="starts_with(s.text, $source) AND starts_with(d.text, $destination)"
    )
    ENDPOINT_RELATIONS = _RELATIONS.format(condition="(s.text = $endpoint OR d.text = $endpoint)")

    REMEMBER_WRITERS = f"""
        INSERT INTO merged_writers
        SELECT writer, minute, $closed FROM (
            {METRICS.writers()} UNION {MEASURES.writers()}
            UNION SELECT writer, minute FROM metrics_blocks WHERE minute < $closed AND writer > 0
        )
    """
    CLOSE_FOLDED = f"UPDATE merged_writers SET merged = $closed WHERE minute < $closed AND merged = {OPEN}"
    FORGET_MERGED_WRITERS = "DELETE FROM merged_writers WHERE merged < $before"
    FORGET_WRITERS = f"""
        DELETE FROM writers WHERE minute < $before AND id NOT IN (SELECT writer FROM merged_writers)
          AND id NOT IN (SELECT writer FROM {METRICS.name}_fresh)
          AND id NOT IN (SELECT writer FROM {MEASURES.name}_fresh)
          AND id NOT IN (SELECT writer FROM metrics_blocks)
    """
    ROLLED = "SELECT hours, days FROM rolled"
    SET_ROLLED = "UPDATE rolled SET hours = $hours, days = $days"
    FORGET_METADATA = (
        "DELETE FROM relations WHERE minute < $oldest",
        "DELETE FROM services WHERE last_minute < $oldest",
        "DELETE FROM instances WHERE last_minute < $oldest",
        "DELETE FROM endpoints WHERE last_minute < $oldest",
    )
    FORGET_NAMES = f"""
        DELETE FROM names WHERE id NOT IN (
            {METRICS.names()} UNION {MEASURES.names()}
            UNION SELECT relation FROM relations UNION SELECT source FROM relations
            UNION SELECT destination FROM relations UNION SELECT unnest($held::INTEGER[])
        )
    """
