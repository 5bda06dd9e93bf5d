-- A table for each, one after the other: in one statement all keys would be in memory as often as there are tables.
CREATE OR REPLACE TEMPORARY TABLE _cdc_found_{{ number }} AS
        {{ rows }}
