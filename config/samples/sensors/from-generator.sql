-- The same job over generated readings: 10 000 of them, one a second of event time, up to six seconds out of order.
SET 'pipeline.name' = 'sensors-from-generator';

CREATE TABLE generated (
  n BIGINT,
  sensor INT,
  `value` INT,
  disorder INT,
  `key` AS CONCAT('sensor-', CAST(sensor AS STRING)),
  ts AS TIMESTAMPADD(SECOND, CAST(n - disorder AS INT), TIMESTAMP '2026-03-01 09:00:00.000'),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'datagen',
  'number-of-rows' = '10000',
  'rows-per-second' = '1000000',
  'fields.n.kind' = 'sequence', 'fields.n.start' = '0', 'fields.n.end' = '9999',
  'fields.sensor.min' = '1', 'fields.sensor.max' = '3',
  'fields.value.min' = '-5', 'fields.value.max' = '40',
  'fields.disorder.min' = '0', 'fields.disorder.max' = '6'
);

CREATE TABLE per_hour (
  `key` STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), average INT, total INT
) WITH ('connector' = 'print', 'print-identifier' = 'per hour');

INSERT INTO per_hour
SELECT `key`, window_start, window_end, AVG(`value`), SUM(`value`)
FROM TABLE(TUMBLE(TABLE generated, DESCRIPTOR(ts), INTERVAL '1' HOUR))
GROUP BY `key`, window_start, window_end;
