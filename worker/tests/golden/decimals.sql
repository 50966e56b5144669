CREATE TABLE out1 (k STRING, we TIMESTAMP(3), total DECIMAL(38, 2), mean DECIMAL(38, 6), taxed DECIMAL(20, 4)) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_end, SUM(price), AVG(price), MAX(price * 1.19)
FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '20' SECOND))
GROUP BY k, window_start, window_end;
