-- Keys of FLOAT, NULL and ROW, and a view that two INSERTs read.
CREATE TABLE by_row (k STRING, v INT, n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE by_ratio (ratio DOUBLE, n BIGINT, latest TIMESTAMP(3)) WITH ('connector' = 'blackhole');

INSERT INTO by_row SELECT r.a, r.b, n FROM (
  SELECT r, COUNT(*) AS n FROM (SELECT CAST(ROW(k, v) AS ROW<a STRING, b INT>) AS r FROM readings) GROUP BY r
);
INSERT INTO by_ratio SELECT ratio, COUNT(*), MAX(ts) FROM readings GROUP BY ratio;
