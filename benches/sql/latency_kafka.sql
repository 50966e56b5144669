-- Readings from a topic, into which latency_load.py writes them with the time at which it does.
CREATE TABLE readings (
  `key` STRING,
  `value` BIGINT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts
) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}',
  'scan.startup.mode' = 'latest-offset', 'format' = 'json'
);
