-- Whole numbers wrap, but a division by zero has no result: it ends the job.
-- in numbers
-- {"id":1,"i":5,"j":0}
-- fails ivide by zero
CREATE TABLE numbers (id INT, i INT, j INT) WITH ('connector' = 'filesystem', 'path' = '@IN@/numbers', 'format' = 'json');
CREATE TABLE results (id INT, q INT) WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT id, i / j FROM numbers;
