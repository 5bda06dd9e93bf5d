-- Of the key alone: an entry with the position too could be longer than an index takes.
CREATE INDEX ON {{ target.history }} ({% for key in target.keys %}{{ key.name }}{% if not loop.last %}, {% endif %}{% endfor %})
