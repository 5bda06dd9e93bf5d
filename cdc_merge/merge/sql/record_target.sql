-- What the target's columns are, for the next batch and for people.
INSERT INTO {{ targets_table }} (source, target, floor_at, columns)
VALUES ({{ source }}, {{ target.label }}, NULL, {{ columns }})
