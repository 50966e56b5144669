-- The different rows, each as soon as it comes. Inserts only, so a window can follow.
CREATE TABLE pairs (k STRING, tag STRING) WITH ('connector' = 'blackhole');
CREATE TABLE keys (k STRING) WITH ('connector' = 'blackhole');

INSERT INTO pairs SELECT DISTINCT k, tag FROM readings;
INSERT INTO keys SELECT k FROM (SELECT k, COUNT(*) AS n FROM readings GROUP BY k);
