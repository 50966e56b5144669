CREATE TABLE out1 (ws TIMESTAMP(3), we TIMESTAMP(3), n BIGINT, total INT) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT window_start, window_end, COUNT(*), SUM(v)
FROM TABLE(SESSION(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
