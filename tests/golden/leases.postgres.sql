-- [look at lease]
SELECT holder, token, expires_at <= CURRENT_TIMESTAMP FROM "cdc_merge"."leases" WHERE source = 'e''commerce';

-- [take lease]
INSERT INTO "cdc_merge"."leases" (source, holder, token, renewed_at, expires_at) VALUES ('e''commerce', 'host:2', 'bb22', CURRENT_TIMESTAMP, CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds') ON CONFLICT (source) DO NOTHING;

-- [look at lease]
SELECT holder, token, expires_at <= CURRENT_TIMESTAMP FROM "cdc_merge"."leases" WHERE source = 'e''commerce';

-- [take lease]
UPDATE "cdc_merge"."leases" SET holder = 'host:2', token = 'bb22', renewed_at = CURRENT_TIMESTAMP, expires_at = CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds' WHERE source = 'e''commerce' AND token = 'aa11';

-- [look at lease]
SELECT holder, token, expires_at <= CURRENT_TIMESTAMP FROM "cdc_merge"."leases" WHERE source = 'e''commerce';

-- [take lease]
UPDATE "cdc_merge"."leases" SET holder = 'host:2', token = 'bb22', renewed_at = CURRENT_TIMESTAMP, expires_at = CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds' WHERE source = 'e''commerce' AND token = 'aa11' AND expires_at <= CURRENT_TIMESTAMP;

-- [fence]
UPDATE "cdc_merge"."leases" SET renewed_at = CURRENT_TIMESTAMP, expires_at = CURRENT_TIMESTAMP + INTERVAL '60000 milliseconds' WHERE source = 'e''commerce' AND token = 'bb22';

-- [lock lease]
UPDATE "cdc_merge"."leases" SET renewed_at = renewed_at + INTERVAL '1 microsecond' WHERE source = 'e''commerce';

-- [lock lease]
UPDATE "cdc_merge"."leases" SET renewed_at = CURRENT_TIMESTAMP WHERE source = 'e''commerce' AND token = 'bb22';

-- [release lease]
DELETE FROM "cdc_merge"."leases" WHERE source = 'e''commerce' AND token = 'bb22';
