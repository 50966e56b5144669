-- A keyed tumbling average and sum from Kafka to Kafka, the same text for Eddyline and for Flink. kafka.py fills in
-- the parts in braces.
SET 'execution.checkpointing.interval' = '10 s';

CREATE TABLE readings (
  `key` STRING,
  `value` INT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}',
  'properties.group.id' = 'benchmark', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'json'
);

CREATE TABLE totals (
  `key` STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), average INT, total INT
) WITH (
  'connector' = 'kafka', 'topic' = '{out}', 'properties.bootstrap.servers' = '{bootstrap}',
  'key.format' = 'json', 'key.fields' = 'key', 'value.format' = 'json', 'sink.delivery-guarantee' = 'at-least-once'
);

INSERT INTO totals
SELECT `key`, window_start, window_end, AVG(`value`), SUM(`value`)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY `key`, window_start, window_end;
