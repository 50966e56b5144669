CREATE TABLE out1 (k STRING, we TIMESTAMP(3), n BIGINT, most INT) WITH ('connector' = 'blackhole');
CREATE TABLE out2 (we TIMESTAMP(3), n BIGINT, keys BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE out3 (k STRING, ts TIMESTAMP(3), total BIGINT) WITH ('connector' = 'blackhole');
CREATE VIEW busy AS SELECT k, v, big, ts FROM readings WHERE v > -500;
CREATE VIEW per_key AS
SELECT k, window_start AS ws, window_end AS we, COUNT(*) AS n, MAX(v) AS most
FROM TABLE(TUMBLE(TABLE busy, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
CREATE VIEW totals AS SELECT we, SUM(n) AS n, COUNT(most) AS keys FROM per_key GROUP BY ws, we;
CREATE VIEW running AS
SELECT k, ts, SUM(big) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS total FROM busy;
EXECUTE STATEMENT SET BEGIN
INSERT INTO out1 SELECT k, we, n, most FROM per_key;
INSERT INTO out1 SELECT k, we, -n, most FROM per_key WHERE n > 1;
INSERT INTO out1 SELECT k, we, n * 2, most FROM
  (SELECT k, we, n, most FROM per_key WHERE most > 0 UNION ALL SELECT k, we, n, most FROM per_key WHERE most > 0);
INSERT INTO out2 SELECT we, n, keys FROM totals;
INSERT INTO out2 SELECT we, -n, keys FROM totals WHERE keys > 0;
INSERT INTO out3 SELECT k, ts, total FROM running;
INSERT INTO out3 SELECT k, ts, -total FROM running WHERE total > 0;
INSERT INTO out3 SELECT k, ts, big FROM busy;
END;
