-- ARRAY, MAP and ROW are distinguished and kept by aggregates like flat values; a MAP whatever the order of its keys.
-- in rows
-- {"g":1,"c":[1,2],"r":{"x":1,"y":"a"},"m":{"k":1,"l":2},"ts":"2026-03-01 09:00:01"}
-- {"g":1,"c":[1,2],"r":{"x":1,"y":null},"m":{"l":2,"k":1},"ts":"2026-03-01 09:00:02"}
-- {"g":1,"c":[3],"r":null,"m":null,"ts":"2026-03-01 09:00:03"}
-- {"g":2,"c":null,"r":null,"m":{},"ts":"2026-03-01 09:00:04"}
-- out over
-- {"g":1,"n":1}
-- {"g":1,"n":2}
-- {"g":1,"n":1}
-- {"g":2,"n":1}
-- out results
-- {"g":1,"n":2,"nr":2,"nm":1,"c":3,"f":[1,2],"l":[3],"fr":{"x":1,"y":"a"},"lr":{"x":1,"y":null}}
-- {"g":2,"n":0,"nr":0,"nm":1,"c":0,"f":null,"l":null,"fr":null,"lr":null}
CREATE TABLE src (g INT, c ARRAY<INT>, r ROW<x INT, y STRING>, m MAP<STRING, INT>, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE results (g INT, n BIGINT, nr BIGINT, nm BIGINT, c BIGINT, f ARRAY<INT>, l ARRAY<INT>, fr ROW<x INT, y STRING>,
  lr ROW<x INT, y STRING>) WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT g, COUNT(DISTINCT c), COUNT(DISTINCT r), COUNT(DISTINCT m), COUNT(c), FIRST_VALUE(c), LAST_VALUE(c),
  FIRST_VALUE(r), LAST_VALUE(r) FROM TABLE(TUMBLE(TABLE src, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
  GROUP BY g, window_start, window_end;
CREATE TABLE counted (g INT, n BIGINT) WITH ('connector' = 'filesystem', 'path' = '@OUT@/over', 'format' = 'json');
INSERT INTO counted SELECT g, COUNT(*) OVER (PARTITION BY c ORDER BY ts) FROM src;
