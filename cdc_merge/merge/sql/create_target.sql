-- A target's table: the item's key, its columns, and what cdc-merge keeps of each row.
CREATE {% if mark %}OR REPLACE {% endif %}TABLE {% if dialect.ddl_commits and not mark %}IF NOT EXISTS {% endif %}{{ target.table }} (
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
    _cdc_position {{ position_type }} NOT NULL{% if mark %} COMMENT {{ mark }}{% endif %},
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
{% if dialect.places_rows and not target.keys[0].is_binary %}
-- Rows lie where their keys are joined, and a batch is found in few blocks.
DISTKEY ({{ target.keys[0].name }})
COMPOUND SORTKEY ({% for key in target.keys if not key.is_binary %}{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %})
{% endif %}
{% set place = dialect.clusters_from(target.label) %}
{% if place %}
-- Rows of like keys lie together, so that a batch is found in few micro-partitions; of a text five bytes count.
CLUSTER BY ({% if place > 1 %}SUBSTR({{ target.keys[0].name }}, {{ place }}){% else %}{{ target.keys[0].name }}{% endif %})
{% endif %}
{% if mark %}
COPY GRANTS
{% endif %}
