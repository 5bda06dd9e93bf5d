-- Rows that changed since the export come over from the old table, and those of deleted items where they are kept. By
-- their keys: an update by somebody may have moved a row since. Where the columns are not the same ones, values are
-- lacking: such a row gets a position just below its own, so that the change it came from is merged once more. The last
-- character gives way to the one before it and a tilde, which no position has: no other change comes in between.
INSERT INTO {{ table }} (
{% for key in target.keys %}
    {{ key.name }},
{% endfor %}
{% if target.is_each %}
    _cdc_index, _cdc_key,
{% endif %}
{% for column in carried %}
    {{ column.new }},
{% endfor %}
    _cdc_position, _cdc_changed_at, _cdc_merged_at, {% if target.has_deleted_at %}_cdc_deleted_at, {% endif %}_cdc_rescued
)
SELECT
{% for key in found.keys %}
    t.{{ key.name }},
{% endfor %}
{% if target.is_each %}
    t._cdc_index, t._cdc_key,
{% endif %}
{% for column in carried %}
    t.{{ column.old }},
{% endfor %}
{% if lacks_values %}
    CASE
        WHEN t._cdc_position = '' THEN ''
        ELSE left(t._cdc_position, length(t._cdc_position) - 1) || chr(ascii(right(t._cdc_position, 1)) - 1) || '~'
    END,
{% else %}
    t._cdc_position,
{% endif %}
    t._cdc_changed_at, t._cdc_merged_at, {% if target.has_deleted_at %}CASE WHEN t._cdc_verdict = 'extra' THEN {{ floor }}{% if found.has_deleted_at %} ELSE t._cdc_deleted_at{% endif %} END, {% endif %}t._cdc_rescued
FROM (
    -- Once only, if someone has taken the primary key away and inserted a row twice.
    SELECT t.*, {% if target.has_deleted_at %}v.verdict AS _cdc_verdict, {% endif %}row_number() OVER (
        PARTITION BY {% for key in found.keys %}t.{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, t._cdc_index{% endif %}

        ORDER BY t._cdc_position DESC
    ) AS _cdc_place
    FROM {{ found.table }} AS t
    JOIN _cdc_verdicts_{{ target.number }} AS v
        ON {% for key in found.keys %}t.{{ key.name }} = v.k{{ loop.index0 }} AND {% endfor %}{% if target.is_each %}t._cdc_index = v.place AND {% endif %}v.verdict {% if target.is_soft %}IN ('newer', 'kept', 'extra'){% elif target.spares_extra %}IN ('newer', 'kept'){% else %}= 'newer'{% endif %}

{% if found.has_deleted_at and not target.has_deleted_at and not target.spares_extra %}
    -- Nothing would say of it any more that its item is gone.
    WHERE t._cdc_deleted_at IS NULL
{% endif %}
) AS t
WHERE t._cdc_place = 1
