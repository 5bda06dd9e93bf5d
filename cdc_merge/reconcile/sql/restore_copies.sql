-- The one that was set aside.
INSERT INTO {{ target.table }}
SELECT c.*
FROM _cdc_copies_{{ target.number }} AS c
