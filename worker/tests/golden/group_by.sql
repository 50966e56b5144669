-- All aggregates over all rows of a key. The result of a key is updated.
CREATE TABLE totals (
  k STRING, n BIGINT, total INT, average INT, least DECIMAL(10, 2), most STRING, spread DOUBLE, big BIGINT
) WITH ('connector' = 'blackhole');
CREATE TABLE ordered (k STRING, first_tag STRING, last_tag STRING, tags STRING) WITH ('connector' = 'blackhole');

INSERT INTO totals
SELECT k, COUNT(*), SUM(v), AVG(v), MIN(price), MAX(tag), STDDEV_POP(v), SUM(big) FROM readings GROUP BY k;

INSERT INTO ordered
SELECT k, FIRST_VALUE(tag), LAST_VALUE(tag), LISTAGG(tag, '+') FROM readings GROUP BY k;
