SET 'pipeline.name' = 'restore';
SET 'execution.checkpointing.timeout' = '10 min';
CREATE TABLE readings (
  n BIGINT,
  key AS n % {keys},
  ts AS TO_TIMESTAMP_LTZ(n / 100000, 3),
  WATERMARK FOR ts AS ts
) WITH ('connector' = 'datagen', 'rows-per-second' = '{rate}',
        'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '1000000000000');
CREATE TABLE results (key BIGINT, readings BIGINT, total BIGINT, least BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO results
  SELECT key, COUNT(*), SUM(n), MIN(n) FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' DAY))
  GROUP BY key, window_start, window_end;
