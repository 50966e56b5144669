-- Keys and kept values of ARRAY, MAP and ROW, some of them with NOT NULL inside: all of them are in the state.
CREATE TABLE out1 (
  c ARRAY<INT NOT NULL>, r ROW<k STRING NOT NULL, v INT>, m MAP<STRING, INT NOT NULL>, we TIMESTAMP(3), n BIGINT, d BIGINT,
  f ARRAY<ROW<v INT NOT NULL> NOT NULL>, l ROW<k STRING NOT NULL, v INT>
) WITH ('connector' = 'blackhole');
CREATE VIEW nested AS SELECT ARRAY[v / 300, 1] AS c, CAST((k, v / 300) AS ROW<k STRING NOT NULL, v INT>) AS r,
  MAP['v', v / 300] AS m, ARRAY[ROW(v)] AS a, ts FROM readings WHERE v IS NOT NULL AND k IS NOT NULL;
INSERT INTO out1
SELECT c, r, m, window_end, COUNT(*), COUNT(DISTINCT a), FIRST_VALUE(a), LAST_VALUE(r)
FROM TABLE(TUMBLE(TABLE nested, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY c, r, m, window_start, window_end;
CREATE TABLE out2 (r ROW<k STRING, v INT>, ts TIMESTAMP(3), n BIGINT, l ARRAY<ROW<v INT>>) WITH ('connector' = 'blackhole');
INSERT INTO out2
SELECT r, ts, COUNT(*) OVER w, LAST_VALUE(a) OVER w
FROM nested WINDOW w AS (PARTITION BY r ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW);
