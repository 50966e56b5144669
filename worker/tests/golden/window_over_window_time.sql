CREATE TABLE out1 (k STRING, ws TIMESTAMP(3), we TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
CREATE VIEW small AS
SELECT k, window_time AS rt, COUNT(*) AS n
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY k, window_start, window_end, window_time;
INSERT INTO out1
SELECT k, window_start, window_end, SUM(n)
FROM TABLE(TUMBLE(TABLE small, DESCRIPTOR(rt), INTERVAL '20' SECOND))
GROUP BY k, window_start, window_end;
