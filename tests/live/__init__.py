"""`make test-live`: the contract tests on a Redshift and a Snowflake of your own (docs/live-tests.md).

`python -m tests.live` runs them, `python -m tests.live.clean` drops what earlier runs left behind.
"""
