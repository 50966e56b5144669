-- Sums of whole numbers come in again at the other end of their type, in windows like over the rows before; an average is
-- that of a BIGINT sum.
-- in numbers
-- {"id":1,"i":2147483647,"l":9223372036854775807,"t":127,"s":32767,"ts":"2026-03-01 09:00:01"}
-- {"id":2,"i":1,"l":1,"t":1,"s":1,"ts":"2026-03-01 09:00:02"}
-- {"id":3,"i":5,"l":5,"t":5,"s":5,"ts":"2026-03-01 09:01:03"}
-- out windows
-- {"n":2,"i":-2147483648,"l":-9223372036854775808,"t":-128,"s":-32768,"ai":1073741824,"al":-4611686018427387904,"d":-2147483648}
-- {"n":1,"i":5,"l":5,"t":5,"s":5,"ai":5,"al":5,"d":5}
-- out hops
-- {"n":2,"i":-2147483648,"l":-9223372036854775808}
-- {"n":3,"i":-2147483643,"l":-9223372036854775803}
-- {"n":1,"i":5,"l":5}
-- out rows_before
-- {"id":1,"i":2147483647,"l":9223372036854775807,"t":127,"s":32767,"ai":2147483647,"al":9223372036854775807}
-- {"id":2,"i":-2147483648,"l":-9223372036854775808,"t":-128,"s":-32768,"ai":1073741824,"al":-4611686018427387904}
-- {"id":3,"i":6,"l":6,"t":6,"s":6,"ai":3,"al":3}
-- out all_before
-- {"id":1,"i":2147483647,"l":9223372036854775807,"t":127,"s":32767}
-- {"id":2,"i":-2147483648,"l":-9223372036854775808,"t":-128,"s":-32768}
-- {"id":3,"i":-2147483643,"l":-9223372036854775803,"t":-123,"s":-32763}
CREATE TABLE numbers (id INT, i INT, l BIGINT, t TINYINT, s SMALLINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/numbers', 'format' = 'json');
CREATE TABLE windows (n BIGINT, i INT, l BIGINT, t TINYINT, s SMALLINT, ai INT, al BIGINT, d INT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/windows', 'format' = 'json');
CREATE TABLE hops (n BIGINT, i INT, l BIGINT) WITH ('connector' = 'filesystem', 'path' = '@OUT@/hops', 'format' = 'json');
CREATE TABLE rows_before (id INT, i INT, l BIGINT, t TINYINT, s SMALLINT, ai INT, al BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/rows_before', 'format' = 'json');
CREATE TABLE all_before (id INT, i INT, l BIGINT, t TINYINT, s SMALLINT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/all_before', 'format' = 'json');
INSERT INTO windows SELECT COUNT(*), SUM(i), SUM(l), SUM(t), SUM(s), AVG(i), AVG(l), SUM(DISTINCT i)
  FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
INSERT INTO hops SELECT COUNT(*), SUM(i), SUM(l)
  FROM TABLE(HOP(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '2' MINUTE)) GROUP BY window_start, window_end;
INSERT INTO rows_before SELECT id, SUM(i) OVER w, SUM(l) OVER w, SUM(t) OVER w, SUM(s) OVER w, AVG(i) OVER w, AVG(l) OVER w
  FROM numbers WINDOW w AS (ORDER BY ts ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
INSERT INTO all_before SELECT id, SUM(i) OVER w, SUM(l) OVER w, SUM(t) OVER w, SUM(s) OVER w
  FROM numbers WINDOW w AS (ORDER BY ts RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW);
