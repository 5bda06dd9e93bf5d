-- Stands for a table that is not there yet, so that everything is missing from it.
CREATE TEMPORARY TABLE {{ target.table }} (
{% for key in target.keys %}
    {{ key.name }} {{ key.type }},
{% endfor %}
{% if target.is_each %}
    _cdc_index {{ integer }},
    _cdc_key {{ text }},
{% endif %}
    _cdc_position {{ text }},
    _cdc_changed_at {{ timestamp }},
    _cdc_rescued {{ metadata_json }}
)
