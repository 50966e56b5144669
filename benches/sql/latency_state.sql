-- State beside the readings: a window with thirteen million keys that stays open, because a second source does not end.
CREATE TABLE all_keys (
  k BIGINT, v BIGINT, ts AS TO_TIMESTAMP_LTZ(k * 0, 3), WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'datagen', 'rows-per-second' = '1000000000',
  'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '13000000', 'fields.v.min' = '0', 'fields.v.max' = '999'
);

CREATE TABLE few_keys (
  k BIGINT, v BIGINT, ts AS TO_TIMESTAMP_LTZ(k * 0, 3), WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'datagen', 'rows-per-second' = '1000',
  'fields.k.min' = '1', 'fields.k.max' = '13000000', 'fields.v.min' = '0', 'fields.v.max' = '999'
);

CREATE VIEW all_readings AS SELECT k, v, ts FROM all_keys UNION ALL SELECT k, v, ts FROM few_keys;

CREATE TABLE state (k BIGINT, n BIGINT, total BIGINT, most BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO state
SELECT k, COUNT(*), SUM(v), MAX(v)
FROM TABLE(TUMBLE(TABLE all_readings, DESCRIPTOR(ts), INTERVAL '1' DAY))
GROUP BY k, window_start, window_end;
