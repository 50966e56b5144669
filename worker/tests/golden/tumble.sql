CREATE TABLE out1 (k STRING, ws TIMESTAMP(3), we TIMESTAMP(3), n BIGINT, total INT, mean INT, lo INT, hi INT) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_start, window_end, COUNT(*), SUM(v), AVG(v), MIN(v), MAX(v)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY k, window_start, window_end;
