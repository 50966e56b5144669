CREATE TABLE out1 (k STRING, we TIMESTAMP(3), a BIGINT, b INT, c BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_end, COUNT(DISTINCT tag), SUM(DISTINCT v / 100), COUNT(DISTINCT v / 100)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY k, window_start, window_end;
