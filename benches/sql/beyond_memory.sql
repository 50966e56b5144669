-- Windows with as many groups as there are keys, one after the other. Keys are spread over all groups; the part of the rows that
-- hits a tenth of them is filled in by memory.py, like the other parts in braces. What comes out is a line for each window, from
-- which it shows whether any group is missing or wrong.
CREATE TABLE readings (
  n BIGINT,
  spread AS ABS(MOD(n * 6364136223846793005, {keys})),
  v AS MOD(n * 2862933555777941757, 1000),
  ts AS TO_TIMESTAMP_LTZ(n / {rows_per_ms}, 3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (
  'connector' = 'datagen', 'number-of-rows' = '{rows}', 'rows-per-second' = '1000000000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{rows}'
);

CREATE TABLE sums (window_end TIMESTAMP(3), `groups` BIGINT, `rows` BIGINT, total BIGINT, most BIGINT)
WITH ('connector' = 'filesystem', 'path' = '{out}', 'format' = 'json');

CREATE VIEW keyed AS
SELECT CASE WHEN MOD(n, 100) < {hot_percent} THEN spread / 10 ELSE spread END AS k, v, ts FROM readings;

CREATE VIEW per_key AS
SELECT k, COUNT(*) AS n, SUM(v) AS total, MAX(v) AS most, window_time
FROM TABLE(TUMBLE(TABLE keyed, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY k, window_start, window_end, window_time;

INSERT INTO sums
SELECT window_end, COUNT(*), SUM(n), SUM(total * (1 + MOD(k, 8191))), SUM(most * (1 + MOD(k, 127)))
FROM TABLE(TUMBLE(TABLE per_key, DESCRIPTOR(window_time), INTERVAL '10' SECOND))
GROUP BY window_start, window_end;
