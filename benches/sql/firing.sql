-- One window with every key once. It is emitted when the last key has been read, because the other source is far ahead.
-- firing.py fills in the parts in braces.
CREATE TABLE all_keys (
  k BIGINT, v BIGINT, ts AS TO_TIMESTAMP_LTZ(k * 0, 3), WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'datagen', 'rows-per-second' = '1000000000',
  'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '{keys}', 'fields.v.min' = '0', 'fields.v.max' = '999'
);

CREATE TABLE far_ahead (
  k BIGINT, v BIGINT, ts AS TO_TIMESTAMP_LTZ(k * 0 + 864000000, 3), WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'datagen', 'rows-per-second' = '100',
  'fields.k.min' = '1', 'fields.k.max' = '{keys}', 'fields.v.min' = '0', 'fields.v.max' = '999'
);

CREATE VIEW readings AS SELECT k, v, ts FROM all_keys UNION ALL SELECT k, v, ts FROM far_ahead;

CREATE TABLE totals (k BIGINT, n BIGINT, total BIGINT, most BIGINT, window_end TIMESTAMP(3)) WITH (
  'connector' = 'filesystem', 'path' = '{output}', 'format' = 'csv'
);

INSERT INTO totals
SELECT k, COUNT(*), SUM(v), MAX(v), window_end
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' DAY))
GROUP BY k, window_start, window_end;
