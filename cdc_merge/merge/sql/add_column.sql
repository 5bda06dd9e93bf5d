-- A column for an attribute that was not there before; older rows have no such attribute, so NULL is right.
ALTER TABLE {{ target.table }} ADD COLUMN {{ column.name }} {{ column.type }}
