CREATE TABLE out1 (k STRING, we TIMESTAMP(3), a BIGINT, b INT, c DOUBLE) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_end, COUNT(*) FILTER (WHERE v > 0), SUM(v) FILTER (WHERE tag = 'a'), MAX(ratio) FILTER (WHERE v < 0 AND tag IS NOT NULL)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY k, window_start, window_end;
