-- Functions of the workbench. One statement ends at each semicolon at the end of a line.

-- Microseconds since 1970 of ApproximateCreationDateTime: a number of seconds (Streams), of milli- or microseconds
-- (Kinesis; the precision field came late, so without it the magnitude tells), or ISO 8601 text (SDKs). NULL for what
-- is no time, or after the year 9999, which not every driver can read.
-- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
CREATE MACRO epoch_micros(moment, unit) AS
    CASE
        WHEN moment IS NULL THEN NULL
        WHEN regexp_full_match(moment, '[0-9]{1,16}(\.[0-9]+)?([eE]\+?[0-9]{1,2})?') THEN
            TRY_CAST(round(TRY(
                CAST(TRY_CAST(moment AS DOUBLE) AS DECIMAL(27, 6)) *
                CASE
                    WHEN TRY_CAST(moment AS DOUBLE) >= 253402300800000000 THEN NULL
                    WHEN unit = 'MICROSECOND' THEN 1
                    WHEN unit = 'MILLISECOND' AND TRY_CAST(moment AS DOUBLE) >= 253402300800000 THEN NULL
                    WHEN unit = 'MILLISECOND' THEN 1000
                    WHEN TRY_CAST(moment AS DOUBLE) >= 1e14 THEN 1
                    WHEN TRY_CAST(moment AS DOUBLE) >= 1e11 THEN 1000
                    ELSE 1000000
                END
            )) AS BIGINT)
        WHEN regexp_full_match(moment, '[12][0-9]{3}-[-0-9:., TtZz+]+')
        THEN epoch_us(TRY_CAST(moment AS TIMESTAMP WITH TIME ZONE))
    END;

-- The stream's label, at the end of its ARN: a stream that is switched off and on again gets a new one.
-- https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamDescription.html
CREATE MACRO stream_prefix(arn) AS
    CASE WHEN strpos(arn, '/stream/') > 0 THEN replace(substr(arn, strpos(arn, '/stream/') + 8), chr(0), '') || '/' ELSE '/' END;

-- Sequence numbers are up to 40 digits: too long for any decimal type, so they are padded and compared as text.
-- `prefix` is the stream's label and a slash.
CREATE MACRO sequence_position(prefix, sequence_number) AS
    CASE
        WHEN strlen(sequence_number) BETWEEN 1 AND 40 AND ltrim(sequence_number, '0123456789') = ''
        THEN prefix || lpad(sequence_number, 40, '0')
    END;

-- At equal times a delete comes after an upsert; the event's id settles the rest, the same way each time.
CREATE MACRO time_position(micros, event_name, event_id) AS
    CASE
        WHEN micros >= 0 AND event_name IN ('INSERT', 'MODIFY', 'REMOVE')
        THEN lpad(CAST(micros AS VARCHAR), 20, '0') || CASE event_name WHEN 'REMOVE' THEN '/1/' ELSE '/0/' END || replace(event_id, chr(0), '')
    END;
