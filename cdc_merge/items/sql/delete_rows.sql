-- All rows of the item.
DELETE FROM {{ table }}
WHERE {{ condition }}
