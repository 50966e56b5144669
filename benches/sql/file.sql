-- A keyed tumbling average and sum over one file. files.py replaces the parts in braces.
CREATE TABLE readings (
  `key` STRING,
  `value` INT,
  ts TIMESTAMP(3),
  WATERMARK FOR ts AS ts - INTERVAL '2' SECOND
) WITH ('connector' = 'filesystem', 'path' = '{path}', 'format' = '{format}');

CREATE TABLE totals (
  `key` STRING, window_start TIMESTAMP(3), window_end TIMESTAMP(3), average INT, total INT
) WITH ({sink});

INSERT INTO totals
SELECT `key`, window_start, window_end, AVG(`value`), SUM(`value`)
FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY `key`, window_start, window_end;
