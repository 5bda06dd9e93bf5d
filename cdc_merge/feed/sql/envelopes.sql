-- What orders the records of one chunk: keys and position, nothing of the images. A row without a position is
-- looked at one by one afterwards.
SELECT
    {{ chunk }} AS chunk,
    idx,
    object_number,
    {{ partition_key }} AS partition_key,
    {{ sort_key }} AS sort_key,
    CASE WHEN {{ partition_key }} <> '' AND {{ sort_key }} IS NOT NULL THEN {{ position }} END AS position
{% for fact in facts %}
    , {{ fact.value }} AS {{ fact.name }}
{% endfor %}
FROM {{ looked }}
