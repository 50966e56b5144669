-- The tables that golden queries read. Their rows are in data/, partly out of order and partly late.
CREATE TABLE readings (
  k STRING,
  v INT,
  big BIGINT,
  price DECIMAL(10, 2),
  ratio DOUBLE,
  tag STRING,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'data/readings.json', 'format' = 'json');

CREATE TABLE clicks (
  usr BIGINT,
  page STRING,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'data/clicks.json', 'format' = 'json');

-- A changelog: inserts, updates and deletes.
CREATE TABLE accounts (
  id BIGINT,
  owner STRING,
  balance INT,
  status STRING,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'data/accounts.json', 'format' = 'debezium-json');
