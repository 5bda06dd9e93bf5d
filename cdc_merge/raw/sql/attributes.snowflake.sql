-- The names of all attributes there are: those that no column has are kept in _cdc_rescued.
SELECT DISTINCT f.key
FROM _cdc_newest AS s, LATERAL FLATTEN(INPUT => s.image, MODE => 'OBJECT') AS f
WHERE NOT s.removed
LIMIT {{ most }}
