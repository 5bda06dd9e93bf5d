-- What is the same for all records of the source: it is learned once and then held to.
INSERT INTO {{ sources }} (source, ordering, key_types, table_arn)
VALUES ({{ source }}, {{ ordering }}, {{ key_types }}, {{ table_arn }})
