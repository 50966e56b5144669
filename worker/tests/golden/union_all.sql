CREATE TABLE out1 (what STRING, ts TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT page, ts FROM clicks WHERE usr = 1
UNION ALL
SELECT k, ts FROM readings WHERE v > 0;
