"""A double of the Redshift Data API: its HTTP protocol, in front of the double of Redshift.

It is no Data API. It takes exactly the requests that cdc-merge sends, and refuses what the service refuses
(requests.py and sessions.py, each refusal with its source). What it cannot show: speed, quotas of requests, IAM,
Secrets Manager, and anything that AWS' documentation does not say; where that matters it does what is worse for us.
"""

from tests.doubles.redshift_data.service import RedshiftDataDouble, found_by_boto3, redshift_data_double

__all__ = ["RedshiftDataDouble", "found_by_boto3", "redshift_data_double"]
