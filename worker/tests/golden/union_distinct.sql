-- UNION without ALL: every row once.
CREATE TABLE texts (t STRING) WITH ('connector' = 'blackhole');

INSERT INTO texts SELECT k FROM readings UNION SELECT tag FROM readings UNION ALL SELECT page FROM clicks;
