-- Whether all records are plain, and how many there are.
SELECT s.doubt, count(*) FROM _cdc_changes AS s GROUP BY s.doubt
