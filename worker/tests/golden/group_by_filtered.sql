-- HAVING and WHERE over results that are updated: a row comes when its result passes, and goes when it no longer does.
CREATE TABLE few (k STRING, n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE many (k STRING, n BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO few SELECT k, COUNT(*) FROM readings GROUP BY k HAVING COUNT(*) < 4;
INSERT INTO many SELECT UPPER(k), n * 2 FROM (SELECT k, COUNT(*) AS n FROM readings WHERE v IS NOT NULL GROUP BY k) WHERE n >= 3;
