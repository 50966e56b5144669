-- As keys, -0.0 and 0.0 are one value; DISTINCT distinguishes them. NaN is one value, wherever it comes from.
-- in numbers
-- {"d":0.0,"e":1.0,"ts":"2026-03-01 09:00:01"}
-- {"d":-0.0,"e":1.0,"ts":"2026-03-01 09:00:02"}
-- {"d":"NaN","e":1.0,"ts":"2026-03-01 09:00:03"}
-- {"d":"NaN","e":1.0,"ts":"2026-03-01 09:00:04"}
-- {"d":0.0,"e":0.0,"ts":"2026-03-01 09:00:05"}
-- out keys
-- {"k":"0.0","n":2}
-- {"k":"NaN","n":3}
-- out counts
-- {"n":3,"mi":"-0.0","ma":"NaN"}
CREATE TABLE numbers (d DOUBLE, e DOUBLE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/numbers', 'format' = 'json');
CREATE TABLE keys (k STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '@OUT@/keys', 'format' = 'json');
CREATE TABLE counts (n BIGINT, mi STRING, ma STRING)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/counts', 'format' = 'json');
CREATE VIEW quotients AS SELECT d / e AS q, ts FROM numbers;
INSERT INTO keys SELECT CAST(q AS STRING), n FROM (SELECT q, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE quotients, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY q, window_start, window_end);
INSERT INTO counts SELECT COUNT(DISTINCT q), CAST(MIN(q) AS STRING), CAST(MAX(q) AS STRING)
  FROM TABLE(TUMBLE(TABLE quotients, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
