-- A sink's enforcers: rows with a NULL where none may be are dropped, texts and bytes are cut or filled to what is declared,
-- here also inside of ROW, ARRAY and MAP. What a source declares inside of a ROW is not enforced there.
-- in rows
-- {"a":1,"s":"Apache Flink","n":"x","r":{"x":"long","y":1},"l":["abc","d"],"m":{"k":"long"}}
-- {"a":2,"s":"Streaming","n":null,"r":{"x":"b","y":1},"l":["a"],"m":{}}
-- {"a":3,"s":"Streaming","n":"z","r":{"x":"b","y":null},"l":["a"],"m":{}}
-- {"a":4,"s":"Streaming","n":"z","r":{"x":"b","y":2},"l":["a",null],"m":{}}
-- {"a":5,"s":"Stream","n":"z","r":null,"l":null,"m":null}
-- out results
-- {"a":1,"s":"Apache F","n":"x","r":{"x":"lo","y":1},"l":["ab","d "],"m":{"k":"lon"}}
-- {"a":5,"s":"Stream","n":"z","r":null,"l":null,"m":null}
SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD';
SET 'table.exec.sink.not-null-enforcer' = 'DROP';
SET 'table.exec.sink.nested-constraint-enforcer' = 'ROWS_AND_COLLECTIONS';
CREATE TABLE src (a INT, s STRING, n STRING, r ROW<x STRING, y INT NOT NULL>, l ARRAY<STRING NOT NULL>, m MAP<STRING, STRING>)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE results (a INT, s VARCHAR(8), n STRING NOT NULL, r ROW<x VARCHAR(2), y INT NOT NULL>,
  l ARRAY<CHAR(2) NOT NULL>, m MAP<STRING, VARCHAR(3)>)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT * FROM src;
