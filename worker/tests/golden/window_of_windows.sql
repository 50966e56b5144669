CREATE TABLE out1 (ws TIMESTAMP(3), we TIMESTAMP(3), hi BIGINT, groups_in BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT window_start, window_end, MAX(n), COUNT(*) FROM (
  SELECT k, window_start, window_end, COUNT(*) AS n
  FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))
  GROUP BY k, window_start, window_end
) GROUP BY window_start, window_end;
