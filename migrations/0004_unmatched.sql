-- Items that no target takes, by entity: changes merged that were the newest of their key in a batch.
CREATE TABLE {{ unmatched }} (
    source {{ text }} NOT NULL,
    entity {{ text }} NOT NULL,
    items {{ integer }} NOT NULL,
    last_seen_at {{ timestamp }} NOT NULL,
    PRIMARY KEY (source, entity)
);

-- Columns that did not take the values of some rows, which are in _cdc_rescued, with the first of them as a sample.
CREATE TABLE {{ misfits }} (
    source {{ text }} NOT NULL,
    target {{ text }} NOT NULL,
    column_name {{ text }} NOT NULL,
    attribute {{ text }} NOT NULL,
    {{ "rows" | quoted }} {{ integer }} NOT NULL,
    first_key {{ text }},
    first_value {{ text }},
    first_seen_at {{ timestamp }} NOT NULL,
    last_seen_at {{ timestamp }} NOT NULL,
    PRIMARY KEY (source, target, column_name)
);
