-- What is set aside has the table's columns and no others.
ALTER TABLE _cdc_copies_{{ target.number }} DROP COLUMN _cdc_place
