"""Raw objects are loaded into Redshift as its defaults read them, whatever a user has set. On the double alone."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import parse_qs, urlsplit

import boto3
import psycopg2
import pytest

from cdc_merge.errors import WarehouseRefused
from cdc_merge.warehouses import open_warehouse
from cdc_merge.warehouses.raw import LoadsRaw, Packing, RawObject


@pytest.mark.parametrize("road", ["redshift_double_url", "redshift_data_url"])
def test_an_attribute_that_is_there_twice_is_an_error_also_where_a_user_would_have_the_last(
    road: str, superuser_url: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(road)
    with closing(psycopg2.connect(superuser_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_database())")
        [(database,)] = cursor.fetchall()
        cursor.execute(f"ALTER DATABASE {database} SET redshift_double.json_parse_dedup_attributes TO 'on'")
        connection.commit()
    bucket = urlsplit(parse_qs(urlsplit(url).query)["staging"][0]).netloc
    reply = boto3.session.Session().client("s3").put_object(Bucket=bucket, Key="feed/a", Body=b'{"a":1,"a":2}')
    twice = RawObject(f"s3://{bucket}/feed/a", reply["ETag"].strip('"'), Packing.NONE)
    with closing(open_warehouse(url)) as warehouse, warehouse.session() as session:
        # On the worker's road, too: JSON_PARSE is said there.
        assert session.query("SELECT current_setting('redshift_double.json_parse_dedup_attributes')") == [("off",)]
        assert isinstance(session, LoadsRaw)
        with pytest.raises(WarehouseRefused, match="Load into table"):
            session.load_raw("_cdc_raw", [twice])
