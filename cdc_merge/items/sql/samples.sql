-- What reconciles keep beside their counts, where that names keys.
SELECT reconciliation_id, target, details
FROM {{ reconciliations }}
WHERE source = {{ source }}
    AND details LIKE '%"key": %'
