-- Which DynamoDB table a source is, as its records or its exports say.
ALTER TABLE {{ sources }} ADD COLUMN table_arn {{ text }};

-- One row per target of each reconcile: what had drifted from the export, and what was repaired. `details` is JSON:
-- samples of keys, causes, and how often each column differed. equal_rows + missing + different + newer is what the
-- export had for the target; extra is what it had not.
CREATE TABLE {{ reconciliations }} (
    reconciliation_id {{ text }} NOT NULL,
    source {{ text }} NOT NULL,
    target {{ text }} NOT NULL,
    export {{ text }} NOT NULL,
    method {{ text }} NOT NULL,
    as_of {{ timestamp }} NOT NULL,
    floor_at {{ timestamp }} NOT NULL,
    items {{ integer }} NOT NULL,
    unusable {{ integer }} NOT NULL,
    equal_rows {{ integer }} NOT NULL,
    missing {{ integer }} NOT NULL,
    extra {{ integer }} NOT NULL,
    different {{ integer }} NOT NULL,
    newer {{ integer }} NOT NULL,
    repaired {{ integer }} NOT NULL,
    tombstones_collected {{ integer }} NOT NULL,
    details {{ text }} NOT NULL,
    overridden {{ text }} NOT NULL,
    worker {{ text }} NOT NULL,
    started_at {{ timestamp }} NOT NULL,
    finished_at {{ timestamp }} NOT NULL,
    PRIMARY KEY (reconciliation_id, target)
);
