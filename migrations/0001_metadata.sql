-- The metadata tables. Names in double braces are filled with the quoted table and with the type names of the engine; a statement ends at a
-- semicolon at the end of a line.

-- One row per source: what orders its changes, and the DynamoDB type (S, N, B) of each key attribute.
CREATE TABLE {{ sources }} (
    source {{ text }} NOT NULL PRIMARY KEY,
    ordering {{ text }} NOT NULL,
    key_types {{ text }} NOT NULL
);

-- One row per target: the floor (the time up to which it is verified) and its columns, as JSON.
CREATE TABLE {{ targets }} (
    source {{ text }} NOT NULL,
    target {{ text }} NOT NULL,
    floor_at {{ timestamp }},
    columns {{ text }} NOT NULL,
    PRIMARY KEY (source, target)
);

-- The ledger: one row per object version that has been merged.
CREATE TABLE {{ objects }} (
    source {{ text }} NOT NULL,
    bucket {{ text }} NOT NULL,
    object_key {{ text }} NOT NULL,
    version {{ text }} NOT NULL,
    bytes {{ integer }} NOT NULL,
    modified_at {{ timestamp }} NOT NULL,
    records {{ integer }} NOT NULL,
    batch_id {{ text }} NOT NULL,
    merged_at {{ timestamp }} NOT NULL,
    PRIMARY KEY (source, bucket, object_key, version)
);

-- One row per committed merge; records = applied + superseded + stale + ignored + quarantined.
CREATE TABLE {{ batches }} (
    batch_id {{ text }} NOT NULL PRIMARY KEY,
    source {{ text }} NOT NULL,
    worker {{ text }} NOT NULL,
    merged_at {{ timestamp }} NOT NULL,
    newest_change_at {{ timestamp }},
    objects {{ integer }} NOT NULL,
    records {{ integer }} NOT NULL,
    applied {{ integer }} NOT NULL,
    superseded {{ integer }} NOT NULL,
    stale {{ integer }} NOT NULL,
    ignored {{ integer }} NOT NULL,
    quarantined {{ integer }} NOT NULL
);

-- What each merge did to each target.
CREATE TABLE {{ batch_targets }} (
    batch_id {{ text }} NOT NULL,
    target {{ text }} NOT NULL,
    inserted {{ integer }} NOT NULL,
    updated {{ integer }} NOT NULL,
    deleted {{ integer }} NOT NULL,
    PRIMARY KEY (batch_id, target)
);

-- The newest position known of keys that have no row bearing it: deleted items, and items no target takes.
CREATE TABLE {{ tombstones }} (
    source {{ text }} NOT NULL,
    partition_key {{ text }} NOT NULL,
    sort_key {{ text }} NOT NULL,
    position {{ text }} NOT NULL,
    changed_at {{ timestamp }}{% if dialect.indexes_key %},
    PRIMARY KEY (source, partition_key, sort_key)
{% endif %}
){% if dialect.places_rows %} DISTKEY (partition_key) COMPOUND SORTKEY (partition_key, sort_key){% endif %};

-- Records and objects that could not be used, with their bytes, until someone retries or discards them.
CREATE TABLE {{ quarantine }} (
    id {{ text }} NOT NULL PRIMARY KEY,
    source {{ text }} NOT NULL,
    bucket {{ text }} NOT NULL,
    object_key {{ text }} NOT NULL,
    version {{ text }} NOT NULL,
    record {{ integer }},
    byte_offset {{ integer }},
    reason {{ text }} NOT NULL,
    detail {{ text }} NOT NULL,
    {{ "raw" | quoted }} {{ binary }},
    batch_id {{ text }} NOT NULL,
    quarantined_at {{ timestamp }} NOT NULL
);

-- Who may merge a source now. Every merge touches its row first, so merges of one source never overlap.
CREATE TABLE {{ leases }} (
    source {{ text }} NOT NULL PRIMARY KEY,
    holder {{ text }} NOT NULL,
    token {{ text }} NOT NULL,
    renewed_at {{ timestamp }} NOT NULL,
    expires_at {{ timestamp }} NOT NULL
);
