-- How far into a value a sink's enforcers reach is a setting: here to the fields of a ROW and not into an ARRAY; by default to
-- the column, and lengths are not looked at.
-- in rows
-- {"a":1,"r":{"x":"long","y":1},"l":["abc",null]}
-- {"a":2,"r":{"x":"b","y":null},"l":["a"]}
-- out deep
-- {"a":1,"r":{"x":"lo","y":1},"l":["abc",null]}
-- out flat
-- {"a":1,"r":{"x":"long","y":1},"l":["abc",null]}
-- {"a":2,"r":{"x":"b","y":null},"l":["a"]}
CREATE TABLE src (a INT, r ROW<x STRING, y INT>, l ARRAY<STRING>)
  WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE flat (a INT NOT NULL, r ROW<x VARCHAR(2), y INT NOT NULL>, l ARRAY<VARCHAR(2) NOT NULL>)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/flat', 'format' = 'json');
CREATE TABLE deep (a INT, r ROW<x VARCHAR(2), y INT NOT NULL>, l ARRAY<VARCHAR(2) NOT NULL>)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/deep', 'format' = 'json');
INSERT INTO flat SELECT * FROM src;
SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD';
SET 'table.exec.sink.not-null-enforcer' = 'DROP';
SET 'table.exec.sink.nested-constraint-enforcer' = 'ROWS';
INSERT INTO deep SELECT * FROM src;
