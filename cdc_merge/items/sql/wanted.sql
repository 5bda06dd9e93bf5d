-- Where the changes of one item lie.
CREATE TABLE wanted AS
SELECT chunk, idx, position
FROM changes
WHERE partition_key = {{ partition_key }}
    AND sort_key = {{ sort_key }}
