CREATE TABLE out1 (usr BIGINT, ws TIMESTAMP(3), we TIMESTAMP(3), n BIGINT, pages BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT usr, window_start, window_end, COUNT(*), COUNT(DISTINCT page)
FROM TABLE(SESSION(TABLE clicks PARTITION BY usr, DESCRIPTOR(ts), INTERVAL '3' SECOND))
GROUP BY usr, window_start, window_end;
