-- Puts the records of a file into a topic, each key always into the same partition. kafka.py fills in the parts in
-- braces.
CREATE TABLE records (`key` STRING, `value` INT, ts TIMESTAMP(3))
WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = 'json');

CREATE TABLE topic (`key` STRING, `value` INT, ts TIMESTAMP(3)) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{bootstrap}',
  'key.format' = 'raw', 'key.fields' = 'key', 'value.format' = 'json', 'sink.delivery-guarantee' = 'at-least-once'
);

INSERT INTO topic SELECT `key`, `value`, ts FROM records;
