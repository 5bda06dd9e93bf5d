-- What is known of each key of a source some of whose targets do not follow every delete: its newest change, the newest
-- one that counts for each such target, the newest upsert, and the newest change that is no expiry.
CREATE TABLE newest AS
SELECT
    CAST(row_number() OVER () AS BIGINT) AS n, *
FROM (
    SELECT
        partition_key,
        sort_key,
        max(position) AS position,
        arg_max(struct_pack(chunk, idx), position) AS line,
{% for pick in picks %}
        max(position) FILTER (WHERE {{ pick.counts }}) AS position_{{ pick.number }},
        arg_max(struct_pack(chunk, idx), position) FILTER (WHERE {{ pick.counts }}) AS line_{{ pick.number }},
{% endfor %}
        max(position) FILTER (WHERE upsert) AS upsert_position,
        max(position) FILTER (WHERE kept) AS kept_position,
        arg_max(struct_pack(at := changed_at), position) FILTER (WHERE kept) AS kept
    FROM changes
    GROUP BY partition_key, sort_key
)
