-- Whether more rows were found than keys were looked for: without a primary key one may have been inserted twice by hand.
SELECT (SELECT count(*) FROM _cdc_resolved) > (SELECT count(*) FROM _cdc_keys)
