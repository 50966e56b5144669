CREATE TABLE out1 (k STRING, we TIMESTAMP(3), spread INT) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_end, MAX(v) - MIN(v)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY k, window_start, window_end
HAVING COUNT(*) > 3 AND k IS NOT NULL;
