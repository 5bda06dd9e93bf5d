"""Databend where Snowflake would be: a real engine of that kind, in this process, which loads from S3.

No Snowflake can be reached from here. Databend (https://docs.databend.com) is a columnar engine that was built after
it, with its stages, COPY INTO, VARIANT and MERGE, and keeps tables as immutable blocks that a change writes anew. So
what the double cannot show is shown here: that the merge's statements, as they are rendered for Snowflake, give the
right rows on an engine that was not made to please them, and what they cost as tables grow.

* translation.py   the words of Snowflake that databend spells otherwise: each rule once, with its reason
* engine.py        the session of warehouses/snowflake.py speaks to databend through the interface of its driver

What runs is the product's own: its sessions, its DDL before the transaction, its Parquet files and its COPY INTO.
"""
