CREATE TABLE out1 (k STRING, we TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
CREATE VIEW positive AS SELECT k AS name, v, ts FROM readings WHERE v > 0;
INSERT INTO out1
WITH counted AS (
  SELECT name, window_start AS s, window_end AS e, COUNT(*) AS n
  FROM TABLE(TUMBLE(TABLE positive, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY name, window_start, window_end
)
SELECT name, e, n FROM counted WHERE n > 1;
