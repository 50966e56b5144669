//! Generates event number n.
//!
//! Events come in rounds of persons, auctions and bids. Ids count from 1000 in order of appearance. By default half of
//! all bids are for the newest auction whose number is a multiple of 100, and three quarters are from one bidder in a
//! hundred. The others refer to recent auctions and persons. Prices are log-uniform from 1 to 10^6, in hundredths. Text
//! has only letters, spaces, `_`, digits and the characters of addresses. The values are part of golden results: never
//! change them.

use super::columns::Columns;
use super::config::Config;
use crate::generated::random::Stream;

const FIRST_ID: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
/// One in this many sellers, bidders and auctions is hot.
const HOT: u64 = 100;
/// The number of auctions that are open at a time.
const AUCTIONS_OPEN: u64 = 100;
/// The number of newest persons who sell and bid.
const PERSONS_ACTIVE: u64 = 1_000;
/// The number of persons or auctions after the newest one that an event may refer to.
const LEAD: u64 = 10;
const CHANNELS: u64 = 10_000;
/// The seed of the addresses of channels, which are the same in every set.
const CHANNEL_SEED: u64 = 0xC4A2_2E15;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const FIRST_NAMES: [&str; 12] =
    ["Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jill", "Karl", "Lena"];
const LAST_NAMES: [&str; 10] =
    ["Abbot", "Baker", "Carter", "Dyer", "Ellis", "Fisher", "Glover", "Harper", "Ivers", "Joiner"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// The kind of an event. It is the value of `event_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Person = 0,
    Auction = 1,
    Bid = 2,
}

/// Generates events.
pub(super) struct Events {
    config: Config,
    round: u64,
    channels: Channels,
}

impl Events {
    pub(super) fn new(config: Config) -> Self {
        let round = config.proportions.iter().sum();
        Self { config, round, channels: Channels::new() }
    }

    pub(super) fn kind(&self, number: u64) -> Kind {
        let [persons, auctions, _] = self.config.proportions;
        match number % self.round {
            place if place < persons => Kind::Person,
            place if place < persons + auctions => Kind::Auction,
            _ => Kind::Bid,
        }
    }

    fn time_ms(&self, number: u64) -> i64 {
        let since = u128::from(number) * 1000 / u128::from(self.config.rate);
        self.config.start_ms.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
    }

    /// The newest person at an event, counted from 0.
    fn person(&self, number: u64) -> u64 {
        let persons = self.config.proportions[0];
        number / self.round * persons + (number % self.round).min(persons - 1)
    }

    /// The newest auction at an event, counted from 0.
    fn auction(&self, number: u64) -> u64 {
        let [persons, auctions, _] = self.config.proportions;
        let (round, place) = (number / self.round, number % self.round);
        match place.checked_sub(persons) {
            None => (round * auctions).saturating_sub(1),
            Some(place) => round * auctions + place.min(auctions - 1),
        }
    }

    fn some_person(&self, number: u64, stream: &mut Stream) -> u64 {
        let persons = self.person(number) + 1;
        let active = persons.min(PERSONS_ACTIVE);
        persons - active + stream.below(active + LEAD)
    }

    fn some_auction(&self, number: u64, stream: &mut Stream) -> u64 {
        let newest = self.auction(number);
        let oldest = newest.saturating_sub(AUCTIONS_OPEN);
        oldest + stream.below(newest - oldest + 1 + LEAD)
    }

    /// Writes person event `number` into row `row`.
    pub(super) fn write_person(&self, number: u64, row: usize, columns: &mut Columns) {
        let mut stream = Stream::new(self.config.seed, number);
        let stream = &mut stream;
        let mut event = columns.event(row);
        event.number(FIRST_ID + self.person(number));
        let name = event.text(|out| {
            out.extend_from_slice(pick(&FIRST_NAMES, stream).as_bytes());
            out.push(b' ');
            out.extend_from_slice(pick(&LAST_NAMES, stream).as_bytes());
        });
        event.text(|out| {
            write_letters(out, stream, 7, b'_');
            out.push(b'@');
            write_letters(out, stream, 5, b'_');
            out.extend_from_slice(b".com");
        });
        event.text(|out| {
            for group in 0..4 {
                if group > 0 {
                    out.push(b' ');
                }
                write_digits(out, stream.below(10_000), 4);
            }
        });
        let city = event.text(|out| out.extend_from_slice(pick(&CITIES, stream).as_bytes()));
        event.text(|out| out.extend_from_slice(pick(&STATES, stream).as_bytes()));
        event.time(self.time_ms(number));
        // The fields of fixed length have 54 bytes.
        event.text(|out| write_extra(out, stream, 54 + name + city, self.config.sizes[0]));
    }

    /// Writes auction event `number` into row `row`.
    pub(super) fn write_auction(&self, number: u64, row: usize, columns: &mut Columns) {
        let mut stream = Stream::new(self.config.seed, number);
        let stream = &mut stream;
        let is_hot = stream.below(self.config.hot_sellers) > 0;
        let seller = if is_hot { self.person(number) / HOT * HOT } else { self.some_person(number, stream) };
        let category = FIRST_CATEGORY + stream.below(CATEGORIES);
        let initial = price(stream);
        let reserve = initial + price(stream);
        let time = self.time_ms(number);
        // The mean duration of an auction is the time in which AUCTIONS_OPEN further auctions open.
        let horizon = (AUCTIONS_OPEN * self.round / self.config.proportions[1] * 1000 / self.config.rate).max(1);
        let expires = time.saturating_add(1 + stream.below(2 * horizon) as i64);
        let mut event = columns.event(row);
        event.number(FIRST_ID + self.auction(number));
        event.text(|out| write_letters(out, stream, 20, b' '));
        event.text(|out| write_letters(out, stream, 100, b' '));
        event.number(initial).number(reserve).time(time).time(expires).number(FIRST_ID + seller).number(category);
        event.text(|out| write_extra(out, stream, 176, self.config.sizes[1]));
    }

    /// Writes bid event `number` into row `row`.
    pub(super) fn write_bid(&self, number: u64, row: usize, columns: &mut Columns) {
        let mut stream = Stream::new(self.config.seed, number);
        let stream = &mut stream;
        let is_hot = stream.below(self.config.hot_auctions) > 0;
        let auction = if is_hot { self.auction(number) / HOT * HOT } else { self.some_auction(number, stream) };
        let is_hot = stream.below(self.config.hot_bidders) > 0;
        let bidder = if is_hot { self.person(number) / HOT * HOT + 1 } else { self.some_person(number, stream) };
        let price = price(stream);
        let is_hot = stream.below(2) > 0;
        let channel = if is_hot { CHANNELS + stream.below(HOT_CHANNELS.len() as u64) } else { stream.below(CHANNELS) };
        let mut event = columns.event(row);
        event.number(FIRST_ID + auction).number(FIRST_ID + bidder).number(price);
        event.text(|out| match channel.checked_sub(CHANNELS) {
            Some(hot) => out.extend_from_slice(HOT_CHANNELS[hot as usize].as_bytes()),
            None => {
                out.extend_from_slice(b"channel-");
                write_number(out, channel);
            }
        });
        event.text(|out| out.extend_from_slice(self.channels.address(channel)));
        event.time(self.time_ms(number));
        event.text(|out| write_extra(out, stream, 32, self.config.sizes[2]));
    }
}

/// The addresses of all channels. The hot ones come last.
struct Channels {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Channels {
    fn new() -> Self {
        let mut channels = Self { bytes: Vec::new(), ends: vec![0] };
        for channel in 0..CHANNELS + HOT_CHANNELS.len() as u64 {
            let mut stream = Stream::new(CHANNEL_SEED, channel);
            let out = &mut channels.bytes;
            out.extend_from_slice(b"https://auctions.example.com/");
            for _ in 0..3 {
                write_letters(out, &mut stream, 5, b'_');
                out.push(b'/');
            }
            out.extend_from_slice(b"item.htm?query=1");
            if channel < CHANNELS && stream.below(10) > 0 {
                out.extend_from_slice(b"&channel_id=");
                write_number(out, u64::from((channel as u32).reverse_bits() >> 1));
            }
            channels.ends.push(channels.bytes.len());
        }
        channels
    }

    fn address(&self, channel: u64) -> &[u8] {
        let channel = channel as usize;
        &self.bytes[self.ends[channel]..self.ends[channel + 1]]
    }
}

fn pick<'a>(from: &[&'a str], stream: &mut Stream) -> &'a str {
    from[stream.below(from.len() as u64) as usize]
}

fn price(stream: &mut Stream) -> u64 {
    (10f64.powf(stream.unit() * 6.0) * 100.0).round() as u64
}

/// Writes letters from a to z. One in 27 is `space` instead. One random number gives thirteen, because 27^13 is below
/// 2^64.
fn write_letters(out: &mut Vec<u8>, stream: &mut Stream, count: u64, space: u8) {
    let mut left = count;
    while left > 0 {
        let mut number = stream.draw();
        let now = left.min(13);
        for _ in 0..now {
            let letter = (number % 27) as u8;
            number /= 27;
            out.push(if letter == 26 { space } else { b'a' + letter });
        }
        left -= now;
    }
}

/// Pads an event of `used` bytes to `wanted` bytes on average. The length of the padding varies by a fifth up and down.
fn write_extra(out: &mut Vec<u8>, stream: &mut Stream, used: u64, wanted: u64) {
    let Some(mean) = wanted.checked_sub(used).filter(|mean| *mean > 0) else { return };
    let spread = (mean / 5).max(1);
    let count = mean - spread + stream.below(2 * spread + 1);
    write_letters(out, stream, count, b' ');
}

fn write_digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let begin = out.len();
    out.resize(begin + width, b'0');
    for digit in out[begin..].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn write_number(out: &mut Vec<u8>, value: u64) {
    write_digits(out, value, value.checked_ilog10().unwrap_or(0) as usize + 1);
}
