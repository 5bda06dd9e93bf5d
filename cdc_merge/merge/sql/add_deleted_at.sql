-- The target keeps the rows of deleted items from now on.
ALTER TABLE {{ target.table }} ADD COLUMN _cdc_deleted_at {{ timestamp }}
