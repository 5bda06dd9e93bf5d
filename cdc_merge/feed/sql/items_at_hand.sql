-- What items.sql made of a portion. An item of an export has attributes: at least those of its key.
CREATE OR REPLACE TEMP VIEW wide AS
SELECT *, CAST(n - {{ first }} AS INTEGER) AS idx, 'MODIFY' AS event_name, 1 AS width
FROM {{ table }}
WHERE n BETWEEN {{ first }} AND {{ last }}
