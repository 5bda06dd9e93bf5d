-- Keeps changes up to and with this position out of histories and soft targets, also when the tombstone has gone.
INSERT INTO {{ history_events }} (source, target, partition_key, sort_key, position, changed_at)
VALUES ({{ source }}, '/forgotten', {{ partition_key }}, {{ sort_key }}, {{ position }}, {{ changed_at }})
