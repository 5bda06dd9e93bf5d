-- What can be told of why: a row that is missing beside a tombstone lost the insert after a delete, one whose item
-- lies in a table that should not have it lost a move, one that nothing is known of never arrived. An extra row whose
-- item the export has for other tables moved away; one of an item it does not have lost its delete. An element that is
-- missing or extra beside others of its item lost the item's update. A row that differs in nothing but columns that were
-- configured since, and in what these take out of _cdc_rescued, had no value of them yet.
CREATE TEMPORARY TABLE _cdc_causes_{{ target.number }} AS
SELECT
    v.verdict,
{% for key in target.keys %}
    v.k{{ loop.index0 }},
{% endfor %}
    {% if target.is_each %}v.place,
    {% endif %}v.differing,
    CASE
        WHEN v.verdict = 'missing' AND d.k0 IS NOT NULL THEN 'insert_after_delete_lost'
{% if target.is_each %}
        WHEN v.verdict = 'missing' AND own.k0 IS NOT NULL THEN 'update_lost_or_altered'
{% endif %}
{% for sibling in tables if sibling.number != target.number %}
        WHEN v.verdict = 'missing' AND o{{ sibling.number }}.k0 IS NOT NULL THEN 'move_lost'
{% endfor %}
        WHEN v.verdict = 'missing' THEN 'never_arrived'
{% if has_extra %}
        WHEN v.verdict = 'extra' AND e.takes THEN 'update_lost_or_altered'
        WHEN v.verdict = 'extra' AND e.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'extra' THEN 'delete_lost'
{% endif %}
{% if asked_since %}
        -- Names of columns stand in their order, new ones after all others.
        WHEN v.verdict = 'different'
            AND split_part(v.differing, chr(10), 1) IN (
{% for column in asked_since %}
                {{ column }}{% if not loop.last %},{% endif %}

{% endfor %}
            )
            THEN 'new_column'
{% endif %}
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_{{ target.number }} AS v
{% if tables | length > 1 %}
LEFT JOIN _cdc_keys AS q ON q.n = v.n
{% endif %}
LEFT JOIN (SELECT DISTINCT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %} FROM {{ tombstones }} AS s WHERE s.source = {{ source }}) AS d
    ON v.verdict = 'missing' AND {% for key in target.keys %}d.k{{ loop.index0 }} = v.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% if target.is_each %}
LEFT JOIN (
    SELECT DISTINCT {% for key in target.keys %}t.{{ key.name }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %} FROM {{ target.table }} AS t
) AS own
    ON v.verdict = 'missing' AND {% for key in target.keys %}own.k{{ loop.index0 }} = v.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% endif %}
{% for sibling in tables if sibling.number != target.number %}
LEFT JOIN (
    SELECT DISTINCT {% for key in sibling.keys %}t.{{ key.name }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %} FROM {{ sibling.table }} AS t
) AS o{{ sibling.number }}
    ON v.verdict = 'missing'{% if sibling.number < target_count %} AND NOT q.takes_{{ sibling.number }}{% endif %} AND {% for key in target.keys %}o{{ sibling.number }}.k{{ loop.index0 }} = v.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}

{% endfor %}
{% if has_extra %}
LEFT JOIN (
    SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}, s.takes_{{ target.number }} AS takes FROM _cdc_keys AS s WHERE NOT s.removed
) AS e
    ON v.verdict = 'extra' AND {% for key in target.keys %}e.k{{ loop.index0 }} = v.k{{ loop.index0 }}{% if not loop.last %} AND {% endif %}{% endfor %}
{% endif %}
