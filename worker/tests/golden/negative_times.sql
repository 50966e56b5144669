CREATE TABLE out1 (ws TIMESTAMP(3), we TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE old (n INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'filesystem', 'path' = 'data/old.json', 'format' = 'json');
INSERT INTO out1
SELECT window_start, window_end, COUNT(*)
FROM TABLE(TUMBLE(TABLE old, DESCRIPTOR(ts), INTERVAL '7' SECOND))
GROUP BY window_start, window_end;
