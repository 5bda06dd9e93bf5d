-- Only on request: what is as old as what was known, or older, stays without effect.
INSERT INTO {{ tombstones }} (source, partition_key, sort_key, position, changed_at)
VALUES ({{ source }}, {{ partition_key }}, {{ sort_key }}, {{ position }}, {{ changed_at }})
