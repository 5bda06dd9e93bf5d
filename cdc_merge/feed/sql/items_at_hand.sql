-- What items.sql made of a portion.
CREATE OR REPLACE TEMP VIEW wide AS
SELECT *, CAST(n - {{ first }} AS INTEGER) AS idx
FROM {{ table }}
WHERE n BETWEEN {{ first }} AND {{ last }}
