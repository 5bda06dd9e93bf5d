-- What the records are like that have a key and a place in an order, the most frequent first: the attributes of the key,
-- their type tags, whether the records come by way of Kinesis, and the ARN of one's stream.
SELECT
    list_sort(json_keys(line, {{ keys }})) AS attributes,
    [{% for attribute in key %}json_keys(line, {{ attribute }})[1]{% if not loop.last %}, {% endif %}{% endfor %}] AS tags,
    coalesce({% for at in only_in_streams %}json_extract_string(line, {{ at }}){% if not loop.last %}, {% endif %}{% endfor %}) IS NULL AS is_kinesis,
    any_value(json_extract_string(line, {{ arn }})) AS arn
FROM lines
WHERE idx % {{ every }} = 0
    AND len(json_keys(line, {{ keys }})) > 0
    AND coalesce({% for at in places %}json_extract_string(line, {{ at }}){% if not loop.last %}, {% endif %}{% endfor %}) IS NOT NULL
GROUP BY ALL
ORDER BY count(*) DESC, is_kinesis
