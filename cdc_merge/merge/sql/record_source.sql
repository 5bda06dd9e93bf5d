-- What is the same for all records of the source: it is learned once and then held to.
INSERT INTO {{ sources }} (source, ordering, key_types)
VALUES ({{ source }}, {{ ordering }}, {{ key_types }})
