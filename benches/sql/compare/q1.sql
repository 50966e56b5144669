CREATE TABLE result (auction BIGINT, bidder BIGINT, price DOUBLE, `dateTime` TIMESTAMP(3), extra STRING) WITH ('connector' = 'blackhole');
INSERT INTO result
SELECT auction, bidder, CAST(0.908 AS DOUBLE) * price, `dateTime`, extra FROM bid;
