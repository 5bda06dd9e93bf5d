-- What the timelines of histories are made of, for sources with a target that keeps one: every distinct change of an
-- item that such a target could take. `target` is empty, since a change is one of the item. With the name of a target it
-- is what a reconcile repaired there as of changed_at; with /forgotten it keeps changes of a forgotten item out, up to
-- and with its position.
CREATE TABLE {{ history_events }} (
    source {{ text }} NOT NULL,
    target {{ text }} NOT NULL,
    partition_key {{ text }} NOT NULL,
    sort_key {{ text }} NOT NULL,
    position {{ text }} NOT NULL,
    changed_at {{ timestamp }}
){% if dialect.places_rows %} DISTKEY (partition_key) COMPOUND SORTKEY (partition_key, sort_key){% endif %};
{% if dialect.indexes_key %}

-- Of the key alone: an entry with the position too could be longer than an index takes.
CREATE INDEX ON {{ history_events }} (partition_key, sort_key);
{% endif %}
