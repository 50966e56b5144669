CREATE TABLE out1 (k STRING, we TIMESTAMP(3), a INT, b STRING, c STRING) WITH ('connector' = 'blackhole');
INSERT INTO out1
SELECT k, window_end, FIRST_VALUE(v), LAST_VALUE(tag), LISTAGG(tag, '|')
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY k, window_start, window_end;
