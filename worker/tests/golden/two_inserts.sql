CREATE TABLE out1 (k STRING, we TIMESTAMP(3), n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE out2 (k STRING, v INT) WITH ('connector' = 'blackhole');
EXECUTE STATEMENT SET BEGIN
INSERT INTO out1 SELECT k, window_end, COUNT(*) FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY k, window_start, window_end;
INSERT INTO out2 SELECT k, v FROM readings WHERE v > 900;
INSERT INTO out2 SELECT k, -v FROM readings WHERE v < -900;
END;
