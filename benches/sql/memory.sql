-- Windows that open and close for as long as it runs: generated rows, 100 000 keys. files.py fills in the parts in
-- braces.
CREATE TABLE readings (
  n BIGINT,
  sensor INT,
  `value` INT,
  `key` AS CONCAT('sensor-', CAST(sensor AS STRING)),
  ts AS TIMESTAMPADD(SECOND, CAST(n / ({rows_per_ms} * 1000) AS INT), TIMESTAMP '2026-03-01 00:00:00.000'),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH (
  'connector' = 'datagen', 'number-of-rows' = '{rows}', 'rows-per-second' = '1000000000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '{rows}',
  'fields.sensor.min' = '1', 'fields.sensor.max' = '100000',
  'fields.value.min' = '-1000', 'fields.value.max' = '1000'
);

CREATE TABLE totals (
  `key` STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), average INT, total INT
) WITH ('connector' = 'blackhole');

INSERT INTO totals
SELECT `key`, window_start, window_end, AVG(`value`), SUM(`value`)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY `key`, window_start, window_end;
