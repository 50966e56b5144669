CREATE TABLE out1 (a STRING, b INT, c STRING, d STRING, e DOUBLE, f BOOLEAN, g STRING, h BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT UPPER(COALESCE(tag, 'none')) || '-' || k, v / 7, CASE WHEN v > 0 THEN 'up' WHEN v < 0 THEN 'down' ELSE 'flat' END,
  SUBSTRING(tag FROM 2 FOR 3), ABS(ratio), v BETWEEN -100 AND 100, DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm'), EXTRACT(SECOND FROM ts)
FROM readings WHERE k IN ('k0', 'k2') OR v IS NULL;
