"""What the beginnings of change records look like, to find the next one after bytes that are none."""

from __future__ import annotations

import re

_SOME_SPACE = rb"[ \t\r\n]{0,64}+"  # bounded, so that the end of a window cannot hide how a record begins

# The event a Lambda function gets from a stream, written to Firehose as it came.
# https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
ENVELOPE = re.compile(rb'\{~"Records"~:~\['.replace(b"~", _SOME_SPACE))
ENVELOPE_LENGTH = 256  # at most, and some

# The heads of records of DynamoDB Streams, Kinesis Data Streams for DynamoDB, exports and Lambda events, whichever
# member comes first. None of them is the head of anything inside a record: there, an attribute called eventID has
# a typed value, {"eventID": {"S": …}}. `{"Keys":` is left out: it also begins the value of "dynamodb".
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
_HEAD = rb"""
    "(?: (?: eventID | eventName | eventVersion | eventSource | eventSourceARN | awsRegion | tableName
           | recordFormat )" ~ : ~ "
       | dynamodb" ~ : ~ \{ ~ "(?: ApproximateCreationDateTime | ApproximateCreationDateTimePrecision | Keys
           | NewImage | OldImage | SequenceNumber | SizeBytes | StreamViewType )"
       | userIdentity" ~ : ~ (?: null | \{ ~ "(?: type | principalId | Type | PrincipalId )" )
       | Metadata" ~ : ~ \{ ~ "WriteTimestampMicros"
       | Item" ~ : ~ \{ ~ "[^"\\]{0,255}" ~ : ~ \{ ~ "(?: S | N | B | BOOL | NULL | M | L | SS | NS | BS )" ~ :
       | Records" ~ : ~ \[
    )""".replace(b"~", _SOME_SPACE)
HEAD_LENGTH = 1024  # at most, and some

# Where the next record begins after a damaged one: a known head, or any `{` that begins a line.
RECORD_START = re.compile(rb"\{(?:(?<=\n\{)|" + _SOME_SPACE + _HEAD + rb")", re.VERBOSE)
# Where it begins after bytes that belong to no record: there too, and at a `{` (group 1) that cannot be a value in
# something that lost its beginning.
ANY_START = re.compile(RECORD_START.pattern + rb"|[^:,\[{ \t\r\n]" + _SOME_SPACE + rb"(\{)", re.VERBOSE)

# What lies between the last record of one event and the first of the next.
EVENT_SEAM = re.compile(rb'\]~\}[ \t\r\n,]*+\{~"Records"~:~\[~\Z'.replace(b"~", _SOME_SPACE))
SEAM_LENGTH = 128
