-- [look at lease]
SELECT holder, token, expires_at <= CURRENT_TIMESTAMP FROM "CDC_MERGE"."LEASES" WHERE source = 'e''commerce';

-- [lock for: take lease]
UPDATE "CDC_MERGE"."TURNS" SET source = '';

-- [take lease]
INSERT INTO "CDC_MERGE"."LEASES" (source, holder, token, renewed_at, expires_at) SELECT 'e''commerce', 'host:2', 'bb22', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds' WHERE NOT EXISTS (SELECT 1 FROM "CDC_MERGE"."LEASES" WHERE source = 'e''commerce');

-- [look at lease]
SELECT holder, token, expires_at <= CURRENT_TIMESTAMP FROM "CDC_MERGE"."LEASES" WHERE source = 'e''commerce';

-- [lock for: take lease]
UPDATE "CDC_MERGE"."TURNS" SET source = '';

-- [take lease]
UPDATE "CDC_MERGE"."LEASES" SET holder = 'host:2', token = 'bb22', renewed_at = CURRENT_TIMESTAMP, expires_at = CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds' WHERE source = 'e''commerce' AND token = 'aa11';

-- [look at lease]
SELECT holder, token, expires_at <= CURRENT_TIMESTAMP FROM "CDC_MERGE"."LEASES" WHERE source = 'e''commerce';

-- [lock for: take lease]
UPDATE "CDC_MERGE"."TURNS" SET source = '';

-- [take lease]
UPDATE "CDC_MERGE"."LEASES" SET holder = 'host:2', token = 'bb22', renewed_at = CURRENT_TIMESTAMP, expires_at = CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds' WHERE source = 'e''commerce' AND token = 'aa11' AND expires_at <= CURRENT_TIMESTAMP;

-- [lock for: fence]
UPDATE "CDC_MERGE"."TURNS" SET source = '';

-- [fence]
UPDATE "CDC_MERGE"."LEASES" SET renewed_at = CURRENT_TIMESTAMP, expires_at = CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds' WHERE source = 'e''commerce' AND token = 'bb22';

-- [lock for: lock lease]
UPDATE "CDC_MERGE"."TURNS" SET source = '';

-- [lock lease]
UPDATE "CDC_MERGE"."LEASES" SET renewed_at = renewed_at + INTERVAL '1 microsecond' WHERE source = 'e''commerce';

-- [lock for: lock lease]
UPDATE "CDC_MERGE"."TURNS" SET source = '';

-- [lock lease]
UPDATE "CDC_MERGE"."LEASES" SET renewed_at = CURRENT_TIMESTAMP WHERE source = 'e''commerce' AND token = 'bb22';

-- [release lease]
DELETE FROM "CDC_MERGE"."LEASES" WHERE source = 'e''commerce' AND token = 'bb22';
