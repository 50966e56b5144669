-- A NULL key ends the job, with what to do about it. Arrow has no such maps.
-- in rows
-- {"k":"a","v":1}
-- {"k":null,"v":2}
-- fails a key of MAP[key, value] is NULL: write COALESCE(key, …), or leave the row out with WHERE key IS NOT NULL
CREATE TABLE src (k STRING, v INT) WITH ('connector' = 'filesystem', 'path' = '@IN@/rows', 'format' = 'json');
CREATE TABLE results (m MAP<STRING, INT>) WITH ('connector' = 'blackhole');
INSERT INTO results SELECT MAP[k, v] FROM src;
