-- GREATEST and LEAST order FLOAT and DOUBLE as Java's compareTo does, not as < does: -0.0 is less than 0.0, and NaN, whatever
-- gave it, is greater than everything. They are NULL when an argument is.
-- in numbers
-- {"id":1,"d":-0.0,"e":0.0}
-- {"id":2,"d":0.0,"e":-0.0}
-- {"id":3,"d":"-NaN","e":1.0}
-- {"id":4,"d":1.0,"e":"NaN"}
-- {"id":5,"d":"NaN","e":"Infinity"}
-- {"id":6,"d":null,"e":"NaN"}
-- out doubles
-- {"id":1,"g":"0.0","l":"-0.0","g3":"7.0","l3":"-0.0"}
-- {"id":2,"g":"0.0","l":"-0.0","g3":"7.0","l3":"-0.0"}
-- {"id":3,"g":"NaN","l":"1.0","g3":"NaN","l3":"1.0"}
-- {"id":4,"g":"NaN","l":"1.0","g3":"NaN","l3":"1.0"}
-- {"id":5,"g":"NaN","l":"Infinity","g3":"NaN","l3":"7.0"}
-- {"id":6,"g":null,"l":null,"g3":null,"l3":null}
-- out floats
-- {"id":1,"g":"0.0","l":"-0.0"}
-- {"id":2,"g":"0.0","l":"-0.0"}
-- {"id":3,"g":"NaN","l":"1.0"}
-- {"id":4,"g":"NaN","l":"1.0"}
-- {"id":5,"g":"NaN","l":"Infinity"}
-- {"id":6,"g":null,"l":null}
-- out computed
-- {"id":3,"neg":"NaN","dif":"NaN","sq":"NaN","ln":"NaN","ac":"NaN","sn":"NaN","md":"NaN","pw":"NaN","lg":"NaN","fl":"NaN","ce":"NaN","ab":"NaN","st":"NaN","sd":"1.0"}
-- out sums
-- {"s":"NaN","f":"NaN","a":"NaN","v":"NaN"}
-- out running
-- {"id":1,"s":"Infinity","f":"Infinity","a":"Infinity"}
-- {"id":2,"s":"NaN","f":"NaN","a":"NaN"}
-- in infinities
-- {"id":1,"d":"Infinity","ts":"2026-03-01 09:00:01"}
-- {"id":2,"d":"-Infinity","ts":"2026-03-01 09:00:02"}
CREATE TABLE numbers (id INT, d DOUBLE, e DOUBLE)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/numbers', 'format' = 'json');
CREATE TABLE doubles (id INT, g STRING, l STRING, g3 STRING, l3 STRING)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/doubles', 'format' = 'json');
CREATE TABLE floats (id INT, g STRING, l STRING)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/floats', 'format' = 'json');
CREATE TABLE computed (id INT, neg STRING, dif STRING, sq STRING, ln STRING, ac STRING, sn STRING, md STRING, pw STRING,
  lg STRING, fl STRING, ce STRING, ab STRING, st STRING, sd STRING)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/computed', 'format' = 'json');
INSERT INTO doubles SELECT id, CAST(GREATEST(d, e) AS STRING), CAST(LEAST(d, e) AS STRING),
  CAST(GREATEST(d, 7e0, e) AS STRING), CAST(LEAST(d, 7e0, e) AS STRING) FROM numbers;
INSERT INTO floats SELECT id, CAST(GREATEST(CAST(d AS FLOAT), CAST(e AS FLOAT)) AS STRING),
  CAST(LEAST(CAST(d AS FLOAT), CAST(e AS FLOAT)) AS STRING) FROM numbers;
CREATE VIEW ones AS SELECT id, d, e, 1e0 / (e - e) AS inf FROM numbers WHERE id = 3;
INSERT INTO computed SELECT id, CAST(GREATEST(-d, e) AS STRING), CAST(GREATEST(inf - inf, e) AS STRING),
  CAST(GREATEST(SQRT(e - 2e0), e) AS STRING), CAST(GREATEST(-LN(-d), e) AS STRING), CAST(GREATEST(ACOS(e * 2e0), e) AS STRING),
  CAST(GREATEST(SIN(inf), e) AS STRING), CAST(GREATEST(MOD(inf, e), e) AS STRING),
  CAST(GREATEST(POWER(-e, 0.5e0), e) AS STRING), CAST(GREATEST(SINH(-d), e) AS STRING),
  CAST(GREATEST(CAST(-d AS FLOAT), CAST(e AS FLOAT)) AS STRING), CAST(GREATEST(CEIL(-d), e) AS STRING),
  CAST(GREATEST(ABS(-d), e) AS STRING), CAST(GREATEST(CAST('-NaN' AS DOUBLE), e) AS STRING),
  CAST(LEAST(SQRT(e - 2e0), e) AS STRING) FROM ones;
CREATE TABLE infinities (id INT, d DOUBLE, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/infinities', 'format' = 'json');
CREATE TABLE sums (s STRING, f STRING, a STRING, v STRING)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/sums', 'format' = 'json');
CREATE TABLE running (id INT, s STRING, f STRING, a STRING)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/running', 'format' = 'json');
INSERT INTO sums SELECT CAST(GREATEST(SUM(d), 1e0) AS STRING), CAST(GREATEST(SUM(CAST(d AS FLOAT)), CAST(1 AS FLOAT)) AS STRING),
  CAST(GREATEST(AVG(d), 1e0) AS STRING), CAST(GREATEST(VAR_POP(d), 1e0) AS STRING)
  FROM TABLE(TUMBLE(TABLE infinities, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end;
INSERT INTO running SELECT id, CAST(GREATEST(SUM(d) OVER w, 1e0) AS STRING),
  CAST(GREATEST(SUM(CAST(d AS FLOAT)) OVER w, CAST(1 AS FLOAT)) AS STRING), CAST(GREATEST(AVG(d) OVER w, 1e0) AS STRING)
  FROM infinities WINDOW w AS (ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW);
