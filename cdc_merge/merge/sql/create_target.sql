-- A target's table: the item's key, its columns, and what cdc-merge keeps of each row.
CREATE TABLE {% if dialect.ddl_commits %}IF NOT EXISTS {% endif %}{{ target.table }} (
{% for key in target.keys %}
    {{ key.name }} {{ key.type }} NOT NULL,
{% endfor %}
{% if target.is_each %}
    _cdc_index {{ integer }} NOT NULL,
    _cdc_key {{ text }},
{% endif %}
{% for column in columns %}
    {{ column.name }} {{ column.type }},
{% endfor %}
    _cdc_position {{ position_type }} NOT NULL,
    _cdc_changed_at {{ timestamp }},
    _cdc_merged_at {{ timestamp }} NOT NULL,
{% if target.has_deleted_at %}
    _cdc_deleted_at {{ timestamp }},
{% endif %}
    _cdc_rescued {{ metadata_json }}
{% if dialect.indexes_key %}
    , PRIMARY KEY ({% for key in target.keys %}{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %}{% if target.is_each %}, _cdc_index{% endif %})
{% endif %}
)
