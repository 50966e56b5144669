CREATE TABLE out1 (k STRING, we TIMESTAMP(3), a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_end, ROUND(a, 6), ROUND(b, 6), ROUND(c, 6), ROUND(d, 6) FROM (
  SELECT k, window_start, window_end, STDDEV_POP(ratio) AS a, STDDEV_SAMP(ratio) AS b, VAR_POP(ratio) AS c, VAR_SAMP(ratio) AS d
  FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '20' SECOND))
  GROUP BY k, window_start, window_end
);
