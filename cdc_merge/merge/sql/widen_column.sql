-- A decimal that may have more digits before the point: the engine changes what it says of the column, and no row.
ALTER TABLE {{ target.table }} ALTER COLUMN {{ column.name }} TYPE {{ column.type }}
