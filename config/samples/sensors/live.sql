-- Readings as they happen: 5 000 a second for ten seconds, averaged over windows of two seconds.
SET 'pipeline.name' = 'sensors-live';

CREATE TABLE generated (
  sensor INT,
  `value` INT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH (
  'connector' = 'datagen',
  'number-of-rows' = '50000',
  'rows-per-second' = '5000',
  'fields.sensor.min' = '1', 'fields.sensor.max' = '3',
  'fields.value.min' = '-5', 'fields.value.max' = '40'
);

CREATE TABLE averages (
  sensor INT, window_end TIMESTAMP(3), average INT, readings BIGINT
) WITH ('connector' = 'print', 'print-identifier' = 'two seconds');

INSERT INTO averages
SELECT sensor, window_end, AVG(`value`), COUNT(*)
FROM TABLE(TUMBLE(TABLE generated, DESCRIPTOR(ts), INTERVAL '2' SECOND))
GROUP BY sensor, window_start, window_end;
