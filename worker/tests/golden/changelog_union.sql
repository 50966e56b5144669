-- Rows of a changelog beside rows that are only inserted.
CREATE TABLE names (name STRING, n BIGINT) WITH ('connector' = 'blackhole');
CREATE VIEW named (name, n) AS SELECT owner, id FROM accounts WHERE balance < 100;
INSERT INTO names SELECT name, n FROM named UNION ALL SELECT page, usr FROM clicks UNION ALL SELECT owner, -id FROM accounts;
