-- Counts and sums of short windows, into Kafka. latency.py replaces the names in braces, and prepends the table of readings.
CREATE TABLE totals (
  `key` STRING, window_end TIMESTAMP(3), readings BIGINT, total BIGINT
) WITH (
  'connector' = 'kafka', 'topic' = '{out}', 'properties.bootstrap.servers' = '{bootstrap}',
  'format' = 'json', 'sink.delivery-guarantee' = '{guarantee}'
);

INSERT INTO totals
SELECT `key`, window_end, COUNT(*), SUM(`value`)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '0.2' SECOND))
GROUP BY `key`, window_start, window_end;
