-- A value that is longer than declared can end the job, with the names of table and column.
-- in rows
-- {"a":1,"r":{"s":"Apache"}}
-- fails column 'r.s' of 'results' is VARCHAR(3), and a value of length 6 would be written into it
SET 'table.exec.sink.type-length-enforcer' = 'ERROR';
SET 'table.exec.sink.nested-constraint-enforcer' = 'ROWS';
CREATE TABLE src (a INT, r ROW<s STRING>) WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE results (a INT, r ROW<s VARCHAR(3)>)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT a, r FROM src;
