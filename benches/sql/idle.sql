-- A job with next to nothing to do: one row a second.
CREATE TABLE ticks (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1');
CREATE TABLE nothing (n BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO nothing SELECT n FROM ticks;
