//! Nexmark's table, views and stateless and windowed queries.

use eddyline_plan::{PlanOptions, Script, explain, plan};

const DATAGEN: &str = "
CREATE TABLE datagen (
  event_type INT,
  person ROW<id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING,
             `dateTime` TIMESTAMP(3), extra STRING>,
  auction ROW<id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT,
              `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
          `dateTime` TIMESTAMP(3), extra STRING>,
  `dateTime` AS CASE event_type WHEN 0 THEN person.`dateTime` WHEN 1 THEN auction.`dateTime` ELSE bid.`dateTime` END,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH ('connector' = 'filesystem', 'path' = '/in', 'format' = 'json');
CREATE VIEW person AS
SELECT person.id, person.name, person.emailAddress, person.creditCard, person.city, person.state, `dateTime`, person.extra
FROM datagen WHERE event_type = 0;
CREATE VIEW auction AS
SELECT auction.id, auction.itemName, auction.description, auction.initialBid, auction.reserve, `dateTime`,
       auction.expires, auction.seller, auction.category, auction.extra
FROM datagen WHERE event_type = 1;
CREATE VIEW bid AS
SELECT bid.auction, bid.bidder, bid.price, bid.channel, bid.url, `dateTime`, bid.extra
FROM datagen WHERE event_type = 2;
";

fn explained(sink: &str, query: &str) -> String {
    let text = format!(
        "{DATAGEN}CREATE TABLE result ({sink}) WITH ('connector' = 'blackhole');\nINSERT INTO result\n{query};"
    );
    let script = Script { name: "nexmark.sql".to_owned(), text };
    match plan(&script, &PlanOptions::default()) {
        Ok(planned) => explain(&planned.graph),
        Err(diagnostics) => panic!("{}", diagnostics.render(&script)),
    }
}

#[test]
fn q0_passes_bids_through() {
    insta::assert_snapshot!(explained(
        "auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra STRING",
        "SELECT auction, bidder, price, `dateTime`, extra FROM bid"
    ));
}

#[test]
fn q1_multiplies_with_a_decimal() {
    insta::assert_snapshot!(explained(
        "auction BIGINT, bidder BIGINT, price DECIMAL(23, 3)",
        "SELECT auction, bidder, 0.908 * price AS price FROM bid"
    ));
}

#[test]
fn q2_filters_by_remainder() {
    insta::assert_snapshot!(explained(
        "auction BIGINT, price BIGINT",
        "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0"
    ));
}

#[test]
fn q10_formats_dates() {
    insta::assert_snapshot!(explained(
        "auction BIGINT, dt STRING, hm STRING",
        "SELECT auction, DATE_FORMAT(`dateTime`, 'yyyy-MM-dd'), DATE_FORMAT(`dateTime`, 'HH:mm') FROM bid"
    ));
}

#[test]
fn q11_counts_bids_per_session() {
    insta::assert_snapshot!(explained(
        "bidder BIGINT, bid_count BIGINT, starttime TIMESTAMP(3), endtime TIMESTAMP(3)",
        "SELECT bidder, COUNT(*) AS bid_count, window_start AS starttime, window_end AS endtime
         FROM TABLE(SESSION(TABLE bid PARTITION BY bidder, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND))
         GROUP BY bidder, window_start, window_end"
    ));
}

#[test]
fn q14_computes_with_case_and_hour() {
    insta::assert_snapshot!(explained(
        "auction BIGINT, price DECIMAL(23, 3), bidTimeType STRING, `dateTime` TIMESTAMP(3)",
        "SELECT auction, 0.908 * price AS price,
           CASE WHEN HOUR(`dateTime`) >= 8 AND HOUR(`dateTime`) <= 18 THEN 'dayTime'
                WHEN HOUR(`dateTime`) <= 6 OR HOUR(`dateTime`) >= 20 THEN 'nightTime' ELSE 'otherTime' END AS bidTimeType,
           `dateTime`
         FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000"
    ));
}

#[test]
fn q21_extracts_with_regular_expressions() {
    insta::assert_snapshot!(explained(
        "auction BIGINT, channel_id STRING",
        "SELECT auction, CASE WHEN LOWER(channel) = 'apple' THEN '0' WHEN LOWER(channel) = 'google' THEN '1'
           ELSE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) END AS channel_id
         FROM bid WHERE REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2) IS NOT NULL OR LOWER(channel) IN ('apple', 'google')"
    ));
}

#[test]
fn q22_splits_urls() {
    insta::assert_snapshot!(explained(
        "auction BIGINT, dir1 STRING, dir2 STRING",
        "SELECT auction, SPLIT_INDEX(url, '/', 3) AS dir1, SPLIT_INDEX(url, '/', 4) AS dir2 FROM bid"
    ));
}

#[test]
fn windowed_maximum_of_bids() {
    insta::assert_snapshot!(explained(
        "maxprice BIGINT, window_end TIMESTAMP(3)",
        "SELECT MAX(price) AS maxprice, window_end
         FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`dateTime`), INTERVAL '10' SECOND)) GROUP BY window_start, window_end"
    ));
}
