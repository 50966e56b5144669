-- A session time zone may be a distance from UTC; windows and functions read it alike.
-- in rows
-- {"id":2,"ms":0}
-- {"id":3,"ms":1767225600000}
-- out results
-- {"id":2,"ts":"1970-01-01 08:00:00.000","s":"1970-01-01 08:00:00.000","e":"1970-01-01 08:00:10.000","t":"1970-01-01 08:00:09.999","h":8}
-- {"id":3,"ts":"2026-01-01 08:00:00.000","s":"2026-01-01 08:00:00.000","e":"2026-01-01 08:00:10.000","t":"2026-01-01 08:00:09.999","h":8}
-- out days
-- {"d":"1970-01-01 00:00:00.000","n":1}
-- {"d":"2026-01-01 00:00:00.000","n":1}
SET 'table.local-time-zone' = 'GMT+08:00';
CREATE TABLE src (id INT, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE results (id INT, ts STRING, s STRING, e STRING, t STRING, h BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
CREATE TABLE days (d STRING, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '@OUT@/days', 'format' = 'json');
INSERT INTO results SELECT id, CAST(ts AS STRING), CAST(window_start AS STRING), CAST(window_end AS STRING),
  CAST(window_time AS STRING), EXTRACT(HOUR FROM ts) FROM TABLE(TUMBLE(TABLE src, DESCRIPTOR(ts), INTERVAL '10' SECOND));
INSERT INTO days SELECT CAST(window_start AS STRING), n FROM (SELECT window_start, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE src, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_start, window_end);
