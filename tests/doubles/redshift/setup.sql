-- What Postgres lacks of Redshift, in a schema of its own; the double puts this before such names.
CREATE SCHEMA redshift_double;

-- Lengths are in bytes. https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html
CREATE DOMAIN redshift_double.varchar_65535 AS varchar COLLATE "C" CHECK (octet_length(VALUE) <= 65535);
CREATE DOMAIN redshift_double.varchar_10 AS varchar COLLATE "C" CHECK (octet_length(VALUE) <= 10);
CREATE DOMAIN redshift_double.varbyte_1024000 AS bytea CHECK (octet_length(VALUE) <= 1024000);

-- In whole seconds, without a time zone. https://docs.aws.amazon.com/redshift/latest/dg/r_GETDATE.html
CREATE FUNCTION redshift_double.getdate() RETURNS timestamp LANGUAGE sql STABLE
RETURN date_trunc('second', statement_timestamp() AT TIME ZONE 'UTC');

-- https://docs.aws.amazon.com/redshift/latest/dg/r_DATEADD_function.html
CREATE FUNCTION redshift_double.dateadd(part text, amount bigint, moment timestamp) RETURNS timestamp LANGUAGE sql STABLE
RETURN moment + CAST(amount || ' ' || part AS interval);
CREATE FUNCTION redshift_double.dateadd(part text, amount bigint, moment timestamptz) RETURNS timestamp LANGUAGE sql STABLE
RETURN (moment AT TIME ZONE 'UTC') + CAST(amount || ' ' || part AS interval);

-- https://docs.aws.amazon.com/redshift/latest/dg/JSON_PARSE.html; what is larger comes from COPY alone.
CREATE FUNCTION redshift_double.json_parse(document varchar) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF octet_length(document) > 1048576 THEN
        RAISE EXCEPTION 'the SUPER value exceeds 1 MB';
    END IF;
    RETURN CAST(document AS jsonb);
END $$;
CREATE FUNCTION redshift_double.json_parse(document bytea) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT
RETURN redshift_double.json_parse(CAST(convert_from(document, 'UTF8') AS varchar));

-- https://docs.aws.amazon.com/redshift/latest/dg/JSON_SERIALIZE.html
CREATE FUNCTION redshift_double.json_serialize(document jsonb) RETURNS redshift_double.varchar_65535 LANGUAGE sql IMMUTABLE STRICT
RETURN CAST(document AS text);

-- https://docs.aws.amazon.com/redshift/latest/dg/r_json_size.html
CREATE FUNCTION redshift_double.json_size(document jsonb) RETURNS integer LANGUAGE sql IMMUTABLE STRICT
RETURN octet_length(CAST(document AS text));

-- https://docs.aws.amazon.com/redshift/latest/dg/SHA2.html
CREATE FUNCTION redshift_double.sha2(value varchar, bits integer) RETURNS varchar LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF bits <> 256 THEN
        RAISE EXCEPTION 'the double makes digests of 256 bits';
    END IF;
    RETURN encode(sha256(convert_to(value, 'UTF8')), 'hex');
END $$;

-- https://docs.aws.amazon.com/redshift/latest/dg/r_TO_VARBYTE.html
CREATE FUNCTION redshift_double.to_varbyte(value varchar, form varchar) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
RETURN decode(value, form);
CREATE FUNCTION redshift_double.to_hex(value bytea) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT
RETURN encode(value, 'hex');

-- https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_COLUMNS.html
CREATE VIEW redshift_double.svv_columns AS
SELECT
    c.table_catalog, c.table_schema, c.table_name, c.column_name, c.ordinal_position, c.column_default, c.is_nullable,
    CASE
        WHEN c.domain_name LIKE 'varchar%' THEN 'character varying'
        WHEN c.domain_name LIKE 'varbyte%' THEN 'binary varying'
        WHEN c.data_type = 'jsonb' THEN 'super'
        ELSE c.data_type
    END AS data_type,
    CAST(split_part(c.domain_name, '_', 2) AS integer) AS character_maximum_length,
    c.numeric_precision, c.numeric_scale
FROM information_schema.columns AS c
WHERE c.table_catalog = current_database() AND (c.domain_name IS NULL OR c.domain_name LIKE 'var%\_%');

-- https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_RELATION_PRIVILEGES.html
CREATE VIEW redshift_double.svv_relation_privileges AS
SELECT
    CAST(n.nspname AS varchar) AS namespace_name, CAST(c.relname AS varchar) AS relation_name, a.privilege_type,
    CASE a.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END AS identity_name,
    CASE a.grantee WHEN 0 THEN 'public' ELSE 'user' END AS identity_type,
    a.is_grantable AS admin_option
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL aclexplode(c.relacl) AS a
WHERE a.grantee <> c.relowner;

GRANT USAGE ON SCHEMA redshift_double TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA redshift_double TO PUBLIC;
