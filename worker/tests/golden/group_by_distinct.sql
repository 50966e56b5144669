-- DISTINCT and FILTER, with a key of several columns.
CREATE TABLE counts (k STRING, even BOOLEAN, tags BIGINT, numbers BIGINT, total INT, some BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO counts
SELECT k, MOD(v, 2) = 0, COUNT(DISTINCT tag), COUNT(DISTINCT v), SUM(DISTINCT v), COUNT(*) FILTER (WHERE v > 5)
FROM readings
GROUP BY k, MOD(v, 2) = 0;
