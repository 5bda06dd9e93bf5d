-- What the targets' columns are now, under the lock.
SELECT target, columns FROM {{ targets_table }} WHERE source = {{ source }}
