-- ARRAY, MAP and ROW are keys of GROUP BY and of sessions, and DISTINCT distinguishes them; a MAP whatever the order of its keys.
-- in rows
-- {"c":[1,2],"r":{"x":1,"y":"a"},"m":{"k":1,"l":2},"ts":"2026-03-01 09:00:01"}
-- {"c":[1,2],"r":{"x":1,"y":null},"m":{"l":2,"k":1},"ts":"2026-03-01 09:00:02"}
-- {"c":[2,1],"r":{"x":1,"y":"a"},"m":{},"ts":"2026-03-01 09:00:03"}
-- {"c":[1,null],"r":null,"m":{"k":1,"l":2},"ts":"2026-03-01 09:00:04"}
-- {"c":null,"r":null,"m":null,"ts":"2026-03-01 09:00:05"}
-- out arrays
-- {"c":[1,2],"f":1,"n":2}
-- {"c":[2,1],"f":2,"n":1}
-- {"c":[1,null],"f":1,"n":1}
-- {"c":null,"f":null,"n":1}
-- out maps
-- {"k":"1","n":3,"sx":2}
-- {"k":null,"n":1,"sx":1}
-- {"k":null,"n":1,"sx":null}
-- out records
-- {"r":{"x":1,"y":"a"},"n":2}
-- {"r":{"x":1,"y":null},"n":1}
-- out sessions
-- {"r":{"x":1,"y":"a"},"n":2}
-- {"r":{"x":1,"y":null},"n":1}
-- {"r":null,"n":2}
-- out distincts
-- {"r":{"x":1,"y":"a"}}
-- {"r":{"x":1,"y":null}}
-- {"r":null}
CREATE TABLE src (c ARRAY<INT>, r ROW<x INT, y STRING>, m MAP<STRING, INT>, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE arrays (c ARRAY<INT>, f INT, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '@OUT@/arrays', 'format' = 'json');
CREATE TABLE maps (k STRING, n BIGINT, sx INT) WITH ('connector' = 'filesystem', 'path' = '@OUT@/maps', 'format' = 'json');
CREATE TABLE records (r ROW<x INT, y STRING>, n BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/records', 'format' = 'json');
CREATE TABLE sessions (r ROW<x INT, y STRING>, n BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/sessions', 'format' = 'json');
CREATE TABLE distincts (r ROW<x INT, y STRING>) WITH ('connector' = 'filesystem', 'path' = '@OUT@/distincts', 'format' = 'json');
INSERT INTO arrays SELECT c, c[1], COUNT(*) FROM TABLE(TUMBLE(TABLE src, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY c, window_start, window_end;
INSERT INTO maps SELECT CAST(m['k'] AS STRING), COUNT(*), SUM(r.x)
  FROM TABLE(TUMBLE(TABLE src, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY m, window_start, window_end;
INSERT INTO records SELECT r, COUNT(*) FROM TABLE(TUMBLE(TABLE src, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end, r HAVING r IS NOT NULL;
INSERT INTO sessions SELECT r, COUNT(*)
  FROM TABLE(SESSION(TABLE src PARTITION BY r, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY r, window_start, window_end;
INSERT INTO distincts SELECT r FROM (SELECT DISTINCT r, window_start, window_end
  FROM TABLE(TUMBLE(TABLE src, DESCRIPTOR(ts), INTERVAL '1' MINUTE)));
