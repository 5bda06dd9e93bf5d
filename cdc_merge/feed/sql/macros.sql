-- Functions of the workbench. One statement ends at each semicolon at the end of a line.

-- Microseconds since 1970 of ApproximateCreationDateTime: a number of seconds (Streams), of milli- or microseconds
-- (Kinesis; the precision field came late, so without it the magnitude tells), or ISO 8601 text (SDKs). NULL for what
-- is no time, or after the year 9999, which not every driver can read.
-- https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
CREATE MACRO epoch_micros(moment, unit) AS
    CASE
        WHEN moment IS NULL THEN NULL
        -- What streams write nearly always, without a detour over decimals.
        WHEN unit IS NULL AND regexp_full_match(moment, '[0-9]{1,10}') THEN CAST(moment AS BIGINT) * 1000000
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
-- `prefix` is the stream's label and a slash. (lpad and ltrim look for graphemes, at four times the cost of the whole.)
CREATE MACRO sequence_position(prefix, sequence_number) AS
    CASE
        WHEN regexp_full_match(sequence_number, '[0-9]{1,40}')
        THEN concat(prefix, left('0000000000000000000000000000000000000000', 40 - strlen(sequence_number)), sequence_number)
    END;

-- At equal times a delete comes after an upsert; the event's id settles the rest, the same way each time.
CREATE MACRO time_position(micros, event_name, event_id) AS
    CASE
        WHEN micros >= 0 AND event_name IN ('INSERT', 'MODIFY', 'REMOVE')
        THEN left('00000000000000000000', 20 - strlen(CAST(micros AS VARCHAR))) || CAST(micros AS VARCHAR) || CASE event_name WHEN 'REMOVE' THEN '/1/' ELSE '/0/' END || replace(event_id, chr(0), '')
    END;

-- The elements of a typed value, for rows of their own: of a list in its order, of a map by its keys, of a set sorted (by
-- text, number or bytes; `layers` of base64, as Kinesis has two), so
-- that the same set gives the same rows. Any other value is its own only element; NULL has none.
CREATE MACRO elements(typed, layers) AS
    CASE json_keys(typed)[1]
        WHEN 'L' THEN list_transform(
            json_extract(typed, '$.L[*]'),
            lambda x, i: struct_pack(place := i - 1, key := CAST(NULL AS VARCHAR), element := CAST(x AS VARCHAR))
        )
        WHEN 'M' THEN list_transform(
            list_sort(json_keys(typed, '/M')),
            lambda k, i: struct_pack(
                place := i - 1, key := k, element := CAST(json_extract(typed, '/M/' || replace(replace(k, '~', '~0'), '/', '~1')) AS VARCHAR)
            )
        )
        WHEN 'SS' THEN list_transform(
            list_sort(json_extract_string(typed, '$.SS[*]')),
            lambda x, i: struct_pack(place := i - 1, key := CAST(NULL AS VARCHAR), element := CAST(json_object('S', x) AS VARCHAR))
        )
        WHEN 'NS' THEN list_transform(
            list_sort(list_transform(json_extract_string(typed, '$.NS[*]'), lambda x: struct_pack(o := TRY_CAST(x AS DOUBLE), x := x))),
            lambda s, i: struct_pack(place := i - 1, key := CAST(NULL AS VARCHAR), element := CAST(json_object('N', s.x) AS VARCHAR))
        )
        WHEN 'BS' THEN list_transform(
            list_sort(list_transform(json_extract_string(typed, '$.BS[*]'), lambda x: struct_pack(
                o := TRY(from_base64(CASE WHEN layers = 2 THEN decode(from_base64(x)) ELSE x END)), x := x
            ))),
            lambda s, i: struct_pack(place := i - 1, key := CAST(NULL AS VARCHAR), element := CAST(json_object('B', s.x) AS VARCHAR))
        )
        WHEN 'NULL' THEN []
        ELSE [struct_pack(place := CAST(0 AS BIGINT), key := CAST(NULL AS VARCHAR), element := CAST(typed AS VARCHAR))]
    END;

-- How many there are, without making them.
CREATE MACRO element_count(typed) AS
    CASE json_keys(typed)[1]
        WHEN 'L' THEN json_array_length(typed, '/L')
        WHEN 'M' THEN len(json_keys(typed, '/M'))
        WHEN 'SS' THEN json_array_length(typed, '/SS')
        WHEN 'NS' THEN json_array_length(typed, '/NS')
        WHEN 'BS' THEN json_array_length(typed, '/BS')
        WHEN 'NULL' THEN 0
        ELSE CASE WHEN typed IS NULL THEN 0 ELSE 1 END
    END;

-- What an element's columns are taken from: the attributes of a map; of anything else, the element under the name `.`.
CREATE MACRO element_image(element) AS
    CASE WHEN json_keys(element)[1] = 'M' THEN CAST(json_extract(element, '/M') AS VARCHAR) ELSE '{".":' || element || '}' END;
