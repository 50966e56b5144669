CREATE TABLE out1 (k STRING, v INT, ws TIMESTAMP(3), we TIMESTAMP(3)) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, v, window_start, window_end
FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))
WHERE v > 500;
