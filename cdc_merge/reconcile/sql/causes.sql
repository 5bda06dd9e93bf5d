-- What can be told of why: a row that is missing beside a tombstone lost the insert after a delete, one whose item
-- lies in another table lost a move, one that nothing is known of never arrived. An extra row whose item is in the
-- export moved away; otherwise its delete was lost.
CREATE TEMPORARY TABLE _cdc_causes_{{ target.number }} AS
SELECT
    v.verdict,
{% for key in target.keys %}
    v.k{{ loop.index0 }},
{% endfor %}
    {% if target.is_each %}coalesce(v.place, -1) AS place,
    {% endif %}v.differing,
    CASE
        WHEN v.verdict = 'missing' AND d.k0 IS NOT NULL THEN 'insert_after_delete_lost'
        WHEN v.verdict = 'missing' AND o.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'missing' THEN 'never_arrived'
        WHEN v.verdict = 'extra' AND e.k0 IS NOT NULL THEN 'move_lost'
        WHEN v.verdict = 'extra' THEN 'delete_lost'
        WHEN v.verdict = 'different' THEN 'update_lost_or_altered'
        ELSE 'changed_since'
    END AS cause
FROM _cdc_verdicts_{{ target.number }} AS v
LEFT JOIN (
    SELECT DISTINCT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM {{ tombstones }} AS s
    WHERE s.source = {{ source }}
) AS d
    ON v.verdict = 'missing'{% for key in target.keys %} AND d.k{{ loop.index0 }} = v.k{{ loop.index0 }}{% endfor %}

LEFT JOIN (
{% for sibling in tables if sibling.number != target.number %}
    SELECT {% for key in sibling.keys %}t.{{ key.name }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM {{ sibling.table }} AS t
    {% if not loop.last %}UNION {% endif %}

{% else %}
    SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM _cdc_keys AS s
    WHERE FALSE
{% endfor %}
) AS o
    ON v.verdict = 'missing'{% for key in target.keys %} AND o.k{{ loop.index0 }} = v.k{{ loop.index0 }}{% endfor %}

LEFT JOIN (
    SELECT {% for key in target.keys %}{{ key.staged }} AS k{{ loop.index0 }}{% if not loop.last %}, {% endif %}{% endfor %}

    FROM _cdc_keys AS s
    WHERE NOT s.removed
) AS e
    ON v.verdict = 'extra'{% for key in target.keys %} AND e.k{{ loop.index0 }} = v.k{{ loop.index0 }}{% endfor %}

