-- Empty for ever. Where transactions choose their moment before they wait for each other (Redshift), each merge locks
-- this table before it looks at anything; the other tables stay readable meanwhile.
CREATE TABLE {{ turns }} (
    source {{ text }}
);
