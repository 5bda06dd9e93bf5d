-- The values of every attribute, by entity and type tag. Each is looked at once and nothing is kept of it.
SELECT
    entity,
    attribute,
    member,
    tag,
    count(*) AS values,
    max(CASE WHEN tag = 'L' THEN json_array_length(value, '/L') END) AS longest_list,
    count(*) FILTER (tag = 'S' AND payload = rest_1) AS same_as_1,
    count(*) FILTER (tag = 'S' AND payload = rest_2) AS same_as_2,
    max(length(text)) AS longest,
    approx_count_distinct(text) AS distinct_texts,
    count(*) FILTER ({{ time }} IS NOT NULL) AS times,
    count(*) FILTER ({{ date }} IS NOT NULL) AS dates,
    count(*) FILTER (regexp_full_match(moment, '[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.,]*')) AS zoneless,
    count(number) AS numbers,
    arg_min(number, CAST(number AS DOUBLE)) AS least,
    arg_max(number, CAST(number AS DOUBLE)) AS greatest,
    max(length(ltrim(split_part(number, '.', 1), '-0'))) AS whole_digits,
    max(length(rtrim(split_part(number, '.', 2), '0'))) AS decimals,
    count(*) FILTER ({{ integer }} IS NOT NULL) AS integers
FROM (
    SELECT
        *,
        -- What may be a moment; the others need no closer look.
        CASE WHEN tag = 'S' AND payload[5] = '-' AND length(payload) BETWEEN 10 AND 64 THEN payload END AS moment,
        CASE WHEN tag = 'S' THEN payload END AS text,
        CASE
            WHEN tag <> 'N' THEN NULL
            WHEN regexp_full_match(payload, '-?[0-9]+(\.[0-9]+)?') THEN payload
            ELSE plain_number(payload)
        END AS number
    FROM (
        SELECT
            *,
            split_part(value, '"', 2) AS tag,
            CASE
                WHEN NOT (starts_with(value, '{"S":"') OR starts_with(value, '{"N":"')) THEN NULL
                -- Without an escape the text is what lies between `{"S":"` and `"}`.
                WHEN contains(value, '\') THEN json_extract_string(value, '/' || split_part(value, '"', 2))
                ELSE substr(value, 7, length(value) - 8)
            END AS payload
        FROM (
{{ rows }}
        )
    )
)
GROUP BY entity, attribute, member, tag
ORDER BY entity, attribute, member, tag
