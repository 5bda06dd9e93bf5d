-- What a reconcile found, without the item's key.
UPDATE {{ reconciliations }}
SET details = {{ details }}
WHERE reconciliation_id = {{ id }} AND target = {{ target }}
