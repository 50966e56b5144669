-- A filter that lets through one half of an update makes an insert or a delete of it.
CREATE TABLE rich (id BIGINT, owner STRING, balance INT, ts TIMESTAMP(3)) WITH ('connector' = 'blackhole');
CREATE TABLE few (id BIGINT, doubled INT) WITH ('connector' = 'blackhole');
INSERT INTO rich SELECT id, owner, balance, ts FROM accounts WHERE status = 'open' AND balance > 60;
INSERT INTO few SELECT id, d FROM (SELECT id, balance * 2 AS d, status FROM accounts WHERE balance IS NOT NULL) WHERE d > 100 AND status <> 'open';
