CREATE TABLE result (a BIGINT, b DOUBLE, c INT, d BOOLEAN) WITH ('connector' = 'blackhole');
INSERT INTO result
SELECT auction * 7 + bidder % 13 - price / 3, CAST(price AS DOUBLE) / 3.0e0 - 1.5e0, CAST(price AS INT),
  price BETWEEN 100 AND 100000 AND bidder IN (1, 2, 3, 1001, 1002, 1003, 1004, 1005)
FROM bid
WHERE price > 10 AND bidder <> 5;
