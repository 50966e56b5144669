-- Readings that the process makes up, with the time at which it does.
CREATE TABLE readings (
  sensor INT,
  `value` BIGINT,
  ts TIMESTAMP(3),
  `key` AS CONCAT('k', CAST(sensor AS STRING)),
  WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'datagen', 'rows-per-second' = '{rate}',
  'fields.sensor.min' = '1', 'fields.sensor.max' = '1000',
  'fields.value.min' = '0', 'fields.value.max' = '1000'
);
