CREATE TABLE result (auction BIGINT, window_start TIMESTAMP(3), bids BIGINT, highest BIGINT, average BIGINT) WITH ('connector' = 'blackhole');
INSERT INTO result
SELECT auction, window_start, COUNT(*), MAX(price), AVG(price)
FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
GROUP BY auction, window_start, window_end;
