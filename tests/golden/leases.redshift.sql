-- [look at lease]
SELECT holder, token, expires_at <= CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE) FROM "cdc_merge"."leases" WHERE source = 'e''commerce';

-- [lock for: take lease]
LOCK TABLE "cdc_merge"."turns";

-- [take lease]
INSERT INTO "cdc_merge"."leases" (source, holder, token, renewed_at, expires_at) SELECT 'e''commerce', 'host:2', 'bb22', CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE), CAST(DATEADD(milliseconds, 60000, CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE)) AS TIMESTAMP WITH TIME ZONE) WHERE NOT EXISTS (SELECT 1 FROM "cdc_merge"."leases" WHERE source = 'e''commerce');

-- [look at lease]
SELECT holder, token, expires_at <= CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE) FROM "cdc_merge"."leases" WHERE source = 'e''commerce';

-- [lock for: take lease]
LOCK TABLE "cdc_merge"."turns";

-- [take lease]
UPDATE "cdc_merge"."leases" SET holder = 'host:2', token = 'bb22', renewed_at = CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE), expires_at = CAST(DATEADD(milliseconds, 60000, CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE)) AS TIMESTAMP WITH TIME ZONE) WHERE source = 'e''commerce' AND token = 'aa11';

-- [look at lease]
SELECT holder, token, expires_at <= CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE) FROM "cdc_merge"."leases" WHERE source = 'e''commerce';

-- [lock for: take lease]
LOCK TABLE "cdc_merge"."turns";

-- [take lease]
UPDATE "cdc_merge"."leases" SET holder = 'host:2', token = 'bb22', renewed_at = CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE), expires_at = CAST(DATEADD(milliseconds, 60000, CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE)) AS TIMESTAMP WITH TIME ZONE) WHERE source = 'e''commerce' AND token = 'aa11' AND expires_at <= CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE);

-- [lock for: fence]
LOCK TABLE "cdc_merge"."turns";

-- [fence]
UPDATE "cdc_merge"."leases" SET renewed_at = CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE), expires_at = CAST(DATEADD(milliseconds, 60000, CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE)) AS TIMESTAMP WITH TIME ZONE) WHERE source = 'e''commerce' AND token = 'bb22';

-- [lock for: lock lease]
LOCK TABLE "cdc_merge"."turns";

-- [lock lease]
UPDATE "cdc_merge"."leases" SET renewed_at = CAST(DATEADD(microsecond, 1, renewed_at) AS TIMESTAMP WITH TIME ZONE) WHERE source = 'e''commerce';

-- [lock for: lock lease]
LOCK TABLE "cdc_merge"."turns";

-- [lock lease]
UPDATE "cdc_merge"."leases" SET renewed_at = CAST(GETDATE() AS TIMESTAMP WITH TIME ZONE) WHERE source = 'e''commerce' AND token = 'bb22';

-- [release lease]
DELETE FROM "cdc_merge"."leases" WHERE source = 'e''commerce' AND token = 'bb22';
