"""What the ARN of a DynamoDB table says, and that of a stream, an index or an export below it.

arn:PARTITION:dynamodb:REGION:ACCOUNT:table/NAME, and then /stream/LABEL, /index/NAME or /export/ID:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html#amazondynamodb-resources-for-iam-policies
"""

from __future__ import annotations

from dataclasses import dataclass

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
TABLE_NAME = r"[A-Za-z0-9_.-]{3,255}"
TABLE_ARN = rf"arn:aws[a-z0-9-]*:dynamodb:[a-z0-9-]+:[0-9]{{12}}:table/{TABLE_NAME}"


@dataclass(frozen=True)
class Arn:
    """`table`: its name. `below`: what of the table (`export/ID`). Empty: it does not say."""

    region: str
    account: str
    table: str
    below: str

    @property
    def export(self) -> str | None:
        """The id of an export; None: it is none."""
        kind, _, name = self.below.partition("/")
        return name if kind == "export" and name and "/" not in name else None


def is_arn(text: str) -> bool:
    """Whether something is named by its ARN; a table's name has no colon."""
    return text.startswith("arn:")


def parse_arn(text: str) -> Arn | None:
    """What an ARN says; None: it is none."""
    if not is_arn(text):
        return None
    fields = text.split(":", 5)
    region, account = fields[3:5] if len(fields) == 6 else ("", "")
    table, _, below = fields[-1].removeprefix("table/").partition("/")
    return Arn(region, account, table, below)


def table_name(table: str) -> str:
    """The name of a table that is given by its name or by an ARN."""
    arn = parse_arn(table)
    return arn.table if arn else table


def are_same_table(first: str, second: str) -> bool:
    """Whether two names or ARNs are of one table, by name, and by account where both say.

    A replica in another region is the same table.
    """
    accounts = {arn.account for arn in map(parse_arn, (first, second)) if arn and arn.account}
    return table_name(first) == table_name(second) and len(accounts) < 2
