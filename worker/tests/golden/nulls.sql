CREATE TABLE out1 (k STRING, we TIMESTAMP(3), n BIGINT, nv BIGINT, total INT, hi DOUBLE) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_end, COUNT(*), COUNT(v), SUM(v), MAX(ratio)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '30' SECOND))
WHERE v IS NULL OR ratio IS NULL
GROUP BY k, window_start, window_end;
