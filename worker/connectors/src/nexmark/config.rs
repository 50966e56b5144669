//! The options of nexmark, and the columns a table can have.

use arrow::datatypes::{DataType, TimeUnit};

use crate::datagen::config::parse_timestamp;
use crate::{OptionError, OptionErrors, Options, TableDescriptor};

/// The default of `start-time`: 2026-03-01 23:59:00. At 1000 events per second the first 100,000 events cross midnight,
/// so queries by day see two days.
const START_MS: i64 = 1_772_409_540_000;
/// The default rate, in events per second of event time.
const RATE: u64 = 10_000;

/// A nexmark table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `events.num`. `None` (0) means no end.
    pub events: Option<u64>,
    /// `first-event.rate`, `next-event.rate`: events per second of event time.
    pub rate: u64,
    /// `rate.limited`: events are also generated at that rate by the clock. Otherwise they are generated as fast as
    /// possible.
    pub rate_limited: bool,
    /// `person.proportion`, `auction.proportion`, `bid.proportion`: the number of each kind in a round, in this order.
    pub proportions: [u64; 3],
    /// `person.avg-size`, `auction.avg-size`, `bid.avg-size`: the mean bytes of an event. Its column `extra` pads it.
    pub sizes: [u64; 3],
    /// `auction.hot-ratio.sellers`, a number n: n - 1 of n auctions have a hot seller.
    pub hot_sellers: u64,
    /// `bid.hot-ratio.auctions`, a number n: n - 1 of n bids are for a hot auction.
    pub hot_auctions: u64,
    /// `bid.hot-ratio.bidders`, a number n: n - 1 of n bids have a hot bidder.
    pub hot_bidders: u64,
    /// `seed` (Eddyline's own): another seed gives other events. The default is 1.
    pub seed: u64,
    /// `start-time` (Eddyline's own): the time of the first event, in milliseconds since 1970.
    pub start_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            events: None,
            rate: RATE,
            rate_limited: false,
            proportions: [1, 3, 46],
            sizes: [200, 500, 100],
            hot_sellers: 4,
            hot_auctions: 2,
            hot_bidders: 4,
            seed: 1,
            start_ms: START_MS,
        }
    }
}

impl Config {
    /// Reads the options of a table and checks its columns.
    ///
    /// # Errors
    /// Names the option or the column that is wrong.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        let config = Options::read(&table.options, Self::of)?;
        check_columns(table)?;
        Ok(config)
    }

    fn of(options: &mut Options<'_>) -> Result<Self, OptionError> {
        let default = Self::default();
        let first: Option<u64> = at_least(options, "first-event.rate", 1);
        let next: Option<u64> = at_least(options, "next-event.rate", 1);
        if first.is_some() && next.is_some() && first != next {
            return Err(OptionError::of(
                "next-event.rate",
                "a rate that changes is not supported: 'next-event.rate' must be 'first-event.rate'",
            ));
        }
        let mut or = |key: &str, least: u64, default: u64| at_least(options, key, least).unwrap_or(default);
        let [persons, auctions, bids] = default.proportions;
        let [person, auction, bid] = default.sizes;
        let proportions =
            [or("person.proportion", 1, persons), or("auction.proportion", 1, auctions), or("bid.proportion", 0, bids)];
        let sizes = [or("person.avg-size", 0, person), or("auction.avg-size", 0, auction), or("bid.avg-size", 0, bid)];
        Ok(Self {
            events: Some(or("events.num", 0, 0)).filter(|events| *events > 0),
            rate: first.or(next).unwrap_or(default.rate),
            proportions,
            sizes,
            hot_sellers: or("auction.hot-ratio.sellers", 1, default.hot_sellers),
            hot_auctions: or("bid.hot-ratio.auctions", 1, default.hot_auctions),
            hot_bidders: or("bid.hot-ratio.bidders", 1, default.hot_bidders),
            seed: or("seed", 0, default.seed),
            rate_limited: options.boolean("rate.limited").unwrap_or(default.rate_limited),
            start_ms: options.parsed("start-time", parse_timestamp).unwrap_or(default.start_ms),
        })
    }
}

/// The number of an option, which is at least `least`. Each option also has a maximum, so that no product of them
/// overflows.
fn at_least(options: &mut Options<'_>, key: &str, least: u64) -> Option<u64> {
    let most = if matches!(key, "events.num" | "seed") {
        u64::MAX / 4
    } else if key.ends_with("rate") {
        1_000_000_000
    } else {
        10_000
    };
    options.parsed(key, |text| {
        let number = text.trim().parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("expected {least} to {most}"))
    })
}

/// The fields of the three kinds of event, in order.
pub(super) const PERSON: &[(&str, Kind)] = &[
    ("id", Kind::Number),
    ("name", Kind::Text),
    ("emailAddress", Kind::Text),
    ("creditCard", Kind::Text),
    ("city", Kind::Text),
    ("state", Kind::Text),
    ("dateTime", Kind::Time),
    ("extra", Kind::Text),
];
pub(super) const AUCTION: &[(&str, Kind)] = &[
    ("id", Kind::Number),
    ("itemName", Kind::Text),
    ("description", Kind::Text),
    ("initialBid", Kind::Number),
    ("reserve", Kind::Number),
    ("dateTime", Kind::Time),
    ("expires", Kind::Time),
    ("seller", Kind::Number),
    ("category", Kind::Number),
    ("extra", Kind::Text),
];
pub(super) const BID: &[(&str, Kind)] = &[
    ("auction", Kind::Number),
    ("bidder", Kind::Number),
    ("price", Kind::Number),
    ("channel", Kind::Text),
    ("url", Kind::Text),
    ("dateTime", Kind::Time),
    ("extra", Kind::Text),
];

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// BIGINT.
    Number,
    /// STRING.
    Text,
    /// TIMESTAMP(3).
    Time,
}

impl Kind {
    fn data_type(self) -> DataType {
        match self {
            Self::Number => DataType::Int64,
            Self::Text => DataType::Utf8,
            Self::Time => DataType::Timestamp(TimeUnit::Millisecond, None),
        }
    }
}

fn check_columns(table: &TableDescriptor) -> Result<(), OptionError> {
    if let Some(column) = table.metadata.first() {
        return Err(OptionError::table(format!("nexmark has no metadata columns, but '{}' is one", column.name)));
    }
    for field in table.schema.fields() {
        let fields = match field.name().as_str() {
            "event_type" if *field.data_type() == DataType::Int32 => continue,
            "event_type" => return Err(OptionError::table("column 'event_type' of a nexmark table is INT")),
            "person" => PERSON,
            "auction" => AUCTION,
            "bid" => BID,
            other => {
                return Err(OptionError::table(format!(
                    "a nexmark table has the columns event_type, person, auction and bid, not '{other}'"
                )));
            }
        };
        let fits = match field.data_type() {
            DataType::Struct(declared) => {
                declared.len() == fields.len()
                    && declared.iter().zip(fields).all(|(declared, (name, kind))| {
                        declared.name() == name && *declared.data_type() == kind.data_type() && declared.is_nullable()
                    })
            }
            _ => false,
        };
        if !fits || !field.is_nullable() {
            return Err(OptionError::table(format!("column '{}' must be {}", field.name(), row_text(fields))));
        }
    }
    Ok(())
}

fn row_text(fields: &[(&str, Kind)]) -> String {
    let field = |(name, kind): &(&str, Kind)| match kind {
        Kind::Number => format!("{name} BIGINT"),
        Kind::Text => format!("{name} STRING"),
        Kind::Time => format!("`{name}` TIMESTAMP(3)"),
    };
    format!("ROW<{}>", fields.iter().map(field).collect::<Vec<_>>().join(", "))
}
