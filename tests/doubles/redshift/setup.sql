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

-- https://docs.aws.amazon.com/redshift/latest/dg/r_json_typeof.html
CREATE FUNCTION redshift_double.json_typeof(document jsonb) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT
RETURN jsonb_typeof(document);

-- https://docs.aws.amazon.com/redshift/latest/dg/get_number_attributes.html
CREATE FUNCTION redshift_double.get_number_attributes(document jsonb) RETURNS integer LANGUAGE sql IMMUTABLE STRICT
RETURN CASE WHEN jsonb_typeof(document) = 'object' THEN (SELECT count(*) FROM jsonb_object_keys(document)) END;

-- A member or an element; NULL where there is none: super-configurations.html, lax mode. Quoted names keep their capitals
-- only if enable_case_sensitive_identifier is true, and are folded otherwise.
CREATE FUNCTION redshift_double.navigate(document jsonb, steps jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    keeps_case CONSTANT boolean := coalesce(current_setting('redshift_double.enable_case_sensitive_identifier', true), '') = 'true';
    found jsonb := document;
    step jsonb;
    member text;
BEGIN
    FOR step IN SELECT e.value FROM jsonb_array_elements(steps) WITH ORDINALITY AS e ORDER BY e.ordinality LOOP
        IF jsonb_typeof(step) = 'number' THEN
            found := CASE WHEN jsonb_typeof(found) = 'array' THEN found -> CAST(step AS integer) END;
        ELSE
            member := step #>> '{}';
            found := CASE WHEN jsonb_typeof(found) = 'object' THEN found -> CASE WHEN keeps_case THEN member ELSE lower(member) END END;
        END IF;
        EXIT WHEN found IS NULL;
    END LOOP;
    RETURN found;
END $$;

-- https://docs.aws.amazon.com/redshift/latest/dg/query-super.html#unpivoting
CREATE FUNCTION redshift_double.unpivot(document jsonb) RETURNS TABLE (value jsonb, attribute varchar) LANGUAGE sql STABLE AS $$
    SELECT e.value, CAST(e.key AS varchar) FROM jsonb_each(CASE WHEN jsonb_typeof(document) = 'object' THEN document END) AS e
$$;

-- The cast of a scalar to text is its text, of anything else NULL: limitations-super.html, super-configurations.html
CREATE FUNCTION redshift_double.text_of(document jsonb) RETURNS varchar LANGUAGE sql IMMUTABLE STRICT
RETURN CASE WHEN jsonb_typeof(document) IN ('object', 'array') THEN NULL ELSE document #>> '{}' END;
CREATE CAST (jsonb AS varchar) WITH FUNCTION redshift_double.text_of(jsonb);

-- What COPY has scanned, as SYS_LOAD_DETAIL shows it: https://docs.aws.amazon.com/redshift/latest/dg/SYS_LOAD_DETAIL.html
CREATE TABLE redshift_double.loads (session integer, query_id bigint, file_name varchar, bytes_scanned bigint, lines_scanned bigint, file_etag varchar);
CREATE VIEW redshift_double.sys_load_detail AS
SELECT query_id, CAST(rpad(file_name, 256) AS varchar) AS file_name, bytes_scanned, lines_scanned, file_etag
FROM redshift_double.loads
WHERE session = pg_backend_pid();

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
GRANT INSERT ON redshift_double.loads TO PUBLIC;
