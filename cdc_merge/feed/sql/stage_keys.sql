-- What the merge has to know of each key: its newest change, whether it removes, and which target takes it.
CREATE OR REPLACE VIEW stage_keys AS
SELECT
    l.n, l.partition_key, l.sort_key, l.position,
    f.changed_at, f.removed,
    {{ could }} AS could
{% for number in targets %}
    , f.takes_{{ number }}
{% endfor %}
{% if picks %}
    , k.upsert_position, k.kept_position, k.kept.at AS kept_at
{% endif %}
{% for pick in picks %}
-- The change that counts for this target, if there is one; it may be the newest.
    , CASE WHEN p{{ pick.number }}.n IS NOT NULL THEN p{{ pick.number }}.n WHEN k.position_{{ pick.number }} = l.position THEN l.n END AS n_{{ pick.number }}
    , k.position_{{ pick.number }}
    , CASE WHEN p{{ pick.number }}.n IS NOT NULL THEN f{{ pick.number }}.changed_at ELSE f.changed_at END AS changed_at_{{ pick.number }}
    , coalesce(CASE WHEN p{{ pick.number }}.n IS NOT NULL THEN f{{ pick.number }}.takes_{{ pick.number }} WHEN k.position_{{ pick.number }} = l.position THEN f.takes_{{ pick.number }} END, FALSE) AS takes_{{ pick.number }}
{% endfor %}
FROM latest AS l
JOIN facts AS f ON f.n = l.n
{% if picks %}
JOIN newest AS k ON k.n = l.n
{% endif %}
{% for pick in picks %}
LEFT JOIN latest AS p{{ pick.number }} ON p{{ pick.number }}.main = l.n AND p{{ pick.number }}.target = {{ pick.number }}
LEFT JOIN facts AS f{{ pick.number }} ON f{{ pick.number }}.n = p{{ pick.number }}.n
{% endfor %}
{% if picks %}
WHERE l.target IS NULL
{% endif %}
