-- VARCHAR and VARBINARY without a length cut nothing; CHAR is CHAR(1), BINARY is BINARY(1), DECIMAL is DECIMAL(10, 0), TIME has
-- no fraction and TIMESTAMP six digits. Lengths cut in a CAST inside of ARRAY and ROW too, and of bytes.
-- in rows
-- {"a":421,"s":"hello","d":12.56}
-- out results
-- {"v":"421","c":"hello","t":"hello","tr":"hello","ch":"h","arr":["hello"],"r":{"x":"hello"},"d":"13","tm":"10:20:30","ts":"2026-03-01 10:20:30.987654"}
-- out limited
-- {"vb":"hello","b":"h","vb2":"he","b7":"68656C6C6F0000","arr":["he"],"r":{"x":"he","y":"hel"},"c7":"[hello  ]"}
CREATE TABLE src (a BIGINT, s STRING, d DOUBLE) WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE results (v STRING, c STRING, t VARCHAR, tr STRING, ch STRING, arr ARRAY<VARCHAR>, r ROW<x VARCHAR>, d STRING,
  tm STRING, ts STRING) WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
CREATE TABLE limited (vb STRING, b STRING, vb2 STRING, b7 STRING, arr ARRAY<STRING>, r ROW<x STRING, y STRING>, c7 STRING)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/limited', 'format' = 'json');
INSERT INTO results SELECT CAST(a AS VARCHAR), CAST(s AS VARCHAR), s, TRY_CAST(s AS VARCHAR), CAST(s AS CHAR),
  CAST(ARRAY[s] AS ARRAY<VARCHAR>), CAST(ROW(s) AS ROW<x VARCHAR>), CAST(CAST(d AS DECIMAL) AS STRING),
  CAST(CAST('10:20:30.987' AS TIME) AS STRING), CAST(CAST('2026-03-01 10:20:30.987654' AS TIMESTAMP) AS STRING) FROM src;
INSERT INTO limited SELECT DECODE(CAST(ENCODE(s, 'UTF-8') AS VARBINARY), 'UTF-8'),
  DECODE(CAST(ENCODE(s, 'UTF-8') AS BINARY), 'UTF-8'), DECODE(CAST(ENCODE(s, 'UTF-8') AS VARBINARY(2)), 'UTF-8'),
  HEX(CAST(ENCODE(s, 'UTF-8') AS BINARY(7))), CAST(ARRAY[s] AS ARRAY<VARCHAR(2)>),
  CAST(ROW(s, s) AS ROW<x VARCHAR(2), y CHAR(3)>), '[' || CAST(s AS CHAR(7)) || ']' FROM src;
