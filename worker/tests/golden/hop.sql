CREATE TABLE out1 (k STRING, ws TIMESTAMP(3), we TIMESTAMP(3), n BIGINT, total BIGINT, mean INT, lo DOUBLE, hi STRING) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_start, window_end, COUNT(v), SUM(big), AVG(v), MIN(ratio), MAX(tag)
FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
GROUP BY k, window_start, window_end;
