CREATE TABLE out1 (k STRING, ws TIMESTAMP(3), we TIMESTAMP(3), n BIGINT, total INT, hi DOUBLE) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_start, window_end, COUNT(*), SUM(v), MAX(ratio)
FROM TABLE(CUMULATE(TABLE readings, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '20' SECOND))
GROUP BY k, window_start, window_end;
