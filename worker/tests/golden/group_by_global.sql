-- One row over everything, from the first row on, and none without rows.
CREATE TABLE one (n BIGINT, total INT, ks BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE none (n BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO one SELECT COUNT(*), SUM(v), COUNT(DISTINCT k) FROM readings;
INSERT INTO none SELECT COUNT(*) FROM readings WHERE v < -1000000;
