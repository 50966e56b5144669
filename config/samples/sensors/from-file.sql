-- Sensor readings from a bundled file, partly out of order and a few of them late:
-- per sensor the average and the sum of every minute, a sliding average, and a running total.
SET 'pipeline.name' = 'sensors-from-file';

CREATE TABLE readings (
  `key` STRING,
  `value` INT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH (
  'connector' = 'filesystem',
  'path' = 'config/samples/sensors/readings.json',
  'format' = 'json'
);

CREATE TABLE per_minute (
  `key` STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), average INT, total INT
) WITH ('connector' = 'print', 'print-identifier' = 'per minute');

CREATE TABLE per_minute_files (
  `key` STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), average INT, total INT
) WITH ('connector' = 'filesystem', 'path' = 'target/demo/per-minute', 'format' = 'csv');

CREATE TABLE sliding (
  `key` STRING, window_end TIMESTAMP(3), average DOUBLE
) WITH ('connector' = 'print', 'print-identifier' = 'last 2 minutes');

CREATE TABLE running_total (
  `key` STRING, ts TIMESTAMP(3), `value` INT, total BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'target/demo/running-total', 'format' = 'json');

CREATE TABLE last_five (
  `key` STRING, ts TIMESTAMP(3), average DOUBLE
) WITH ('connector' = 'filesystem', 'path' = 'target/demo/last-five', 'format' = 'csv');

CREATE VIEW minutes AS
SELECT `key`, window_start, window_end, AVG(`value`) AS average, SUM(`value`) AS total
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
GROUP BY `key`, window_start, window_end;

EXECUTE STATEMENT SET BEGIN
  INSERT INTO per_minute SELECT * FROM minutes;
  INSERT INTO per_minute_files SELECT * FROM minutes;

  INSERT INTO sliding
  SELECT `key`, window_end, AVG(CAST(`value` AS DOUBLE))
  FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '2' MINUTE))
  GROUP BY `key`, window_start, window_end;

  INSERT INTO running_total
  SELECT `key`, ts, `value`,
         SUM(CAST(`value` AS BIGINT)) OVER (PARTITION BY `key` ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
  FROM readings;

  INSERT INTO last_five
  SELECT `key`, ts,
         AVG(CAST(`value` AS DOUBLE)) OVER (PARTITION BY `key` ORDER BY ts ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)
  FROM readings;
END;
