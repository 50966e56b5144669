-- Groups of rows that are updated and deleted: of a changelog, and of another GROUP BY. A key without rows is deleted.
CREATE TABLE by_status (status STRING, n BIGINT, total INT, average INT, owned BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE owners (owner STRING) WITH ('connector' = 'blackhole');
CREATE TABLE everything (n BIGINT, total BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE sizes (n BIGINT, keys BIGINT, total BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE large (status STRING, n BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO by_status
SELECT status, COUNT(*), SUM(balance), AVG(balance), COUNT(owner) FILTER (WHERE balance > 50) FROM accounts GROUP BY status;

INSERT INTO owners SELECT DISTINCT owner FROM accounts;
INSERT INTO everything SELECT COUNT(*), SUM(CAST(balance AS BIGINT)) FROM accounts WHERE balance > 0;
INSERT INTO sizes
SELECT n, COUNT(*), SUM(total) FROM (SELECT k, COUNT(*) AS n, SUM(big) AS total FROM readings GROUP BY k) GROUP BY n;
INSERT INTO large SELECT status, COUNT(*) FROM accounts GROUP BY status HAVING COUNT(*) > 1;
