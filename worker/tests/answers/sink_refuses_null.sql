-- By default a NULL in a NOT NULL column of a sink ends the job, with the names of table and column.
-- in rows
-- {"a":1,"n":null}
-- fails column 'n' of 'results' is NOT NULL, and a NULL would be written into it
CREATE TABLE src (a INT, n STRING) WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE results (a INT, n STRING NOT NULL) WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT a, n FROM src;
