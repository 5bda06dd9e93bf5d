"""A double of Amazon Redshift: a server that speaks Postgres' protocol in front of a real Postgres.

It is no Redshift. It translates exactly the statements of Redshift that cdc-merge sends, and refuses what Redshift
refuses (refusals.py, each with its source). What it cannot show: distribution and sort keys, planning, speed, queues,
IAM, and anything that AWS' documentation does not say.
"""

from tests.doubles.redshift.server import RedshiftDouble, redshift_double

__all__ = ["RedshiftDouble", "redshift_double"]
