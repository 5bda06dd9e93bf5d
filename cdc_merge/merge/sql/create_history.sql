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
