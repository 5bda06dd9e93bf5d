-- A target's history: a row for each version of an item, and one where it left the target.
CREATE TABLE {% if dialect.ddl_commits %}IF NOT EXISTS {% endif %}{{ target.history }} (
{% for key in target.keys %}
    {{ key.name }} {{ key.type }} NOT NULL,
{% endfor %}
{% for column in columns %}
    {{ column.name }} {{ column.type }},
{% endfor %}
    _cdc_position {{ position_type }} NOT NULL,
    _cdc_operation {{ text }} NOT NULL,
    _cdc_valid_from {{ timestamp }},
    _cdc_valid_to {{ timestamp }},
    _cdc_merged_at {{ timestamp }} NOT NULL,
    _cdc_rescued {{ metadata_json }}
)
{% if dialect.places_rows and not target.keys[0].is_binary %}
-- Rows lie where their keys are joined, and a batch is found in few blocks.
DISTKEY ({{ target.keys[0].name }})
COMPOUND SORTKEY ({% for key in target.keys if not key.is_binary %}{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %})
{% endif %}
