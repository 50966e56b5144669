-- Hours added to a DATE are not lost: TIMESTAMPADD of a unit below a day gives a TIMESTAMP(6), of others a DATE. An interval
-- added with + leaves a DATE a DATE.
-- in dates
-- {"id":1,"d":"2020-01-31"}
-- {"id":2,"d":null}
-- out results
-- {"id":1,"h":"2020-02-01 01:00:00.000000","m":"2020-01-31 00:30:00.000000","s":"2020-01-30 23:59:59.000000","d":"2020-02-01","mo":"2020-02-29","y":"2021-01-31","p":"2020-02-01","diff":25}
-- {"id":2,"h":null,"m":null,"s":null,"d":null,"mo":null,"y":null,"p":null,"diff":null}
CREATE TABLE dates (id INT, d DATE) WITH ('connector' = 'filesystem', 'path' = '@IN@/dates', 'format' = 'json');
CREATE TABLE results (id INT, h STRING, m STRING, s STRING, d STRING, mo STRING, y STRING, p STRING, diff INT)
  WITH ('connector' = 'filesystem', 'path' = '@OUT@/results', 'format' = 'json');
INSERT INTO results SELECT id, CAST(TIMESTAMPADD(HOUR, 25, d) AS STRING), CAST(TIMESTAMPADD(MINUTE, 30, d) AS STRING),
  CAST(TIMESTAMPADD(SECOND, -1, d) AS STRING), CAST(TIMESTAMPADD(DAY, 1, d) AS STRING),
  CAST(TIMESTAMPADD(MONTH, 1, d) AS STRING), CAST(TIMESTAMPADD(YEAR, 1, d) AS STRING),
  CAST(d + INTERVAL '25' HOUR AS STRING), TIMESTAMPDIFF(HOUR, d, TIMESTAMPADD(HOUR, 25, d)) FROM dates;
