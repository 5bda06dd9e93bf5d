-- The names of all attributes there are: those that no column has are kept in _cdc_rescued.
SELECT DISTINCT attribute
FROM _cdc_newest AS s, UNPIVOT s.image AS value AT attribute
WHERE NOT s.removed
LIMIT {{ most }}
