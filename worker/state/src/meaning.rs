//! Meanings: the computation that an operator's state belongs to, and whether another query can restore it.
//!
//! State belongs to a computation, and not to a name or to a place in a script. Each operator with state has a
//! [`Meaning`] in a canonical form, which checkpoints record beside the state. [`compare`] finds for each operator of a
//! job the recorded operator that computes the same. If there is none, it describes the difference to people. It is
//! pure, so the controller can call it before it stops a job, and gets the same answer as a restore.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use eddyline_stream::OperatorUid;
use xxhash_rust::xxh3::xxh3_64;

/// The kind of a source: its state is a set of positions in its input.
pub const SOURCE: &str = "source";

/// What an operator with state computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The kind of operator, such as `window-aggregate`.
    pub kind: String,
    /// The computation, one aspect after the other.
    pub facts: Vec<Fact>,
    /// The sources that its rows come from.
    pub sources: Vec<OperatorUid>,
}

/// One aspect of a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The name of the aspect, such as `window` or `keys`.
    pub aspect: String,
    /// The values of the aspect.
    pub values: Vec<String>,
    /// How the values may differ from the recorded ones.
    pub rule: Rule,
}

/// How the values of a fact may differ from the recorded ones while the state stays valid. The job that restores
/// decides this. It is not recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// They must be the same.
    #[default]
    Same,
    /// They may have another order.
    AnyOrder,
    /// They may have another order, and some may be missing. The state of missing ones is dropped.
    Fewer,
    /// At least one value must be the same.
    OneInCommon,
}

impl Fact {
    /// A fact with one value that must be the same.
    pub fn one(aspect: &str, value: impl Into<String>) -> Self {
        Self::of(aspect, vec![value.into()], Rule::Same)
    }

    /// A fact.
    pub fn of(aspect: &str, values: Vec<String>, rule: Rule) -> Self {
        Self { aspect: aspect.to_owned(), values, rule }
    }

    /// The values. If their order has no meaning they are sorted, so that they do not depend on the query.
    fn canonical(&self) -> Vec<&str> {
        let mut values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        if self.rule != Rule::Same {
            values.sort_unstable();
        }
        values
    }
}

impl Meaning {
    /// A short name of exactly this computation. It is the same in every process and release with the same form of
    /// meanings.
    pub fn digest(&self) -> String {
        let mut text = self.kind.clone();
        for fact in &self.facts {
            text.push('\n');
            text.push_str(&fact.aspect);
            for value in fact.canonical() {
                text.push('\t');
                text.push_str(value);
            }
        }
        short_digest(&text)
    }

    /// Whether a restore would drop no part of the recorded state.
    fn says_as_much_as(&self, recorded: &Meaning) -> bool {
        let values = |meaning: &Meaning| meaning.facts.iter().map(|fact| fact.values.len()).sum::<usize>();
        values(self) == values(recorded)
    }

    /// Whether both describe the same computation over the same sources.
    fn is_as(&self, other: &Meaning) -> bool {
        // Rules are not recorded.
        let facts = |meaning: &'_ Meaning| -> Vec<(String, Vec<String>)> {
            meaning.facts.iter().map(|fact| (fact.aspect.clone(), fact.values.clone())).collect()
        };
        self.kind == other.kind && facts(self) == facts(other) && self.sources == other.sources
    }

    /// The differences of the recorded meaning of state from this one. Empty if the state can be restored.
    pub fn differences(&self, recorded: &Meaning) -> Vec<Difference> {
        if self.kind != recorded.kind {
            let (recorded, job) = (recorded.kind.clone(), self.kind.clone());
            return vec![Difference { aspect: "kind".to_owned(), recorded, job }];
        }
        let no_values: &[String] = &[];
        let of = |facts: &[Fact], aspect: &str| facts.iter().position(|fact| fact.aspect == aspect);
        let mut differences = Vec::new();
        for fact in &self.facts {
            let before = of(&recorded.facts, &fact.aspect).map_or(no_values, |index| &recorded.facts[index].values);
            differences.extend(difference(&fact.aspect, fact.rule, before, &fact.values));
        }
        for fact in recorded.facts.iter().filter(|fact| of(&self.facts, &fact.aspect).is_none()) {
            differences.extend(difference(&fact.aspect, Rule::Same, &fact.values, no_values));
        }
        differences
    }
}

/// A digest of a text, as eight hexadecimal digits.
pub fn short_digest(text: &str) -> String {
    format!("{:08x}", xxh3_64(text.as_bytes()) >> 32)
}

fn difference(aspect: &str, rule: Rule, recorded: &[String], job: &[String]) -> Option<Difference> {
    let missing = |from: &[String], other: &[String]| -> Vec<String> {
        let mut others: Vec<&String> = other.iter().collect();
        let is_missing = |value: &&String| match others.iter().position(|other| other == value) {
            Some(index) => {
                others.swap_remove(index);
                false
            }
            None => true,
        };
        from.iter().filter(is_missing).cloned().collect()
    };
    let (gone, new) = (missing(recorded, job), missing(job, recorded));
    let (before, after) = match rule {
        Rule::Same if recorded == job => return None,
        Rule::AnyOrder if gone.is_empty() && new.is_empty() => return None,
        Rule::Fewer if new.is_empty() => return None,
        Rule::OneInCommon if gone.len() < recorded.len() || recorded == job => return None,
        // Values that are in both are listed only if nothing but the order differs.
        Rule::Same if gone.is_empty() && new.is_empty() => (recorded.to_vec(), job.to_vec()),
        Rule::Same | Rule::AnyOrder | Rule::Fewer => (gone, new),
        Rule::OneInCommon => (recorded.to_vec(), job.to_vec()),
    };
    let listed = |values: Vec<String>| if values.is_empty() { "none".to_owned() } else { values.join(", ") };
    Some(Difference { aspect: aspect.to_owned(), recorded: listed(before), job: listed(after) })
}

/// An aspect in which two meanings differ, as text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The aspect.
    pub aspect: String,
    /// The recorded values.
    pub recorded: String,
    /// The values of the job.
    pub job: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} -> {}", self.aspect, self.recorded, self.job)
    }
}

/// State that no operator of the job can restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The operator of the checkpoint.
    pub recorded: OperatorUid,
    /// The most similar operator of the job, and the differences. `None` if no operator is of the same kind.
    pub nearest: Option<(OperatorUid, Vec<Difference>)>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nearest {
            None => write!(f, "operator {} has state, but the job has no such operator", self.recorded),
            Some((_, differences)) => {
                write!(f, "operator {}: its state belongs to another computation", self.recorded)?;
                differences.iter().try_for_each(|difference| write!(f, "\n    {difference}"))
            }
        }
    }
}

/// The state that each operator of a job restores.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The recorded operator of each operator of the job that restores state.
    pub restored: BTreeMap<OperatorUid, OperatorUid>,
    /// State that no operator can restore, in the order of the recorded operators.
    pub refusals: Vec<Refusal>,
    /// Operators of the job that start empty.
    pub added: Vec<OperatorUid>,
}

impl Comparison {
    /// The state that cannot be restored and must not be dropped.
    pub fn refused<'a>(&'a self, may_be_left: &'a BTreeSet<OperatorUid>) -> impl Iterator<Item = &'a Refusal> {
        self.refusals.iter().filter(|refusal| !may_be_left.contains(&refusal.recorded))
    }
}

/// Describes what a user can do about state of these operators that no operator of the job can restore.
pub fn ways_out<'a>(operators: impl IntoIterator<Item = &'a OperatorUid>) -> String {
    let unique: BTreeSet<&OperatorUid> = operators.into_iter().collect();
    let names: Vec<&str> = unique.into_iter().map(OperatorUid::as_str).collect();
    let flags: Vec<String> = names.iter().map(|name| format!("--allow-non-restored-state '{name}'")).collect();
    format!(
        "to continue and leave this state behind, name its operators in upgrade.allowNonRestoredState of the StreamJob: \
         [{}] (eddyline run: {}); to start without any state, use upgrade.mode: Stateless (eddyline run: --restore \
         none)",
        names.join(", "),
        flags.join(" ")
    )
}

/// An operator and what it computes.
pub type Operator = (OperatorUid, Meaning);

/// Finds for each operator of a job the recorded operator whose state it can restore. Operators that compute the same
/// are distinguished first by their names and then by their order.
///
/// Operators that compute the same have the same state, so their number does not matter. An operator without a recorded
/// one of its own restores the state that an equal operator restores. Recorded state that exists twice is needed only
/// once. A source shares recorded state only with other sources of the same table, because each source has its own
/// positions.
pub fn compare(recorded: &[Operator], job: &[Operator]) -> Comparison {
    let mut matching = Matching {
        recorded: recorded.iter().collect(),
        job: job.iter().collect(),
        paired: Vec::new(),
        restored: BTreeMap::new(),
    };
    matching.recorded.sort_by(|(one, _), (two, _)| one.cmp(two));
    // Sources are matched first, because the meanings of other operators refer to them.
    for is_source in [true, false] {
        let of_kind = |(_, meaning): &Operator| (meaning.kind == SOURCE) == is_source;
        matching.pair(|operator, recorded| of_kind(operator) && operator.0 == recorded.0);
        matching.pair(|operator, recorded| of_kind(operator) && operator.1.says_as_much_as(&recorded.1));
        matching.pair(|operator, _| of_kind(operator));
        matching.share(of_kind);
    }
    matching.into_comparison()
}

struct Matching<'a> {
    /// The recorded operators that are not paired.
    recorded: Vec<&'a Operator>,
    job: Vec<&'a Operator>,
    /// The recorded operators that are paired.
    paired: Vec<&'a Operator>,
    /// The recorded operator of each paired operator of the job.
    restored: BTreeMap<OperatorUid, OperatorUid>,
}

impl<'a> Matching<'a> {
    /// Pairs operators that can restore each other's state and that `is_wanted` accepts.
    fn pair(&mut self, is_wanted: impl Fn(&Operator, &Operator) -> bool) {
        let mut left = Vec::new();
        for operator in std::mem::take(&mut self.job) {
            let fits =
                |recorded: &&Operator| is_wanted(operator, recorded) && self.differences(operator, recorded).is_empty();
            match self.recorded.iter().position(fits) {
                Some(index) => {
                    let recorded = self.recorded.remove(index);
                    self.restored.insert(operator.0.clone(), recorded.0.clone());
                    self.paired.push(recorded);
                }
                None => left.push(operator),
            }
        }
        self.job = left;
    }

    /// Lets unpaired operators restore state that another operator restores too. Drops recorded state that exists
    /// twice.
    fn share(&mut self, of_kind: impl Fn(&Operator) -> bool) {
        let mut left = Vec::new();
        for operator in std::mem::take(&mut self.job) {
            let fits = |recorded: &&&Operator| {
                let is_source = operator.1.kind == SOURCE;
                (!is_source || table_of(&operator.0) == table_of(&recorded.0))
                    && self.differences(operator, recorded).is_empty()
            };
            match self.paired.iter().filter(|_| of_kind(operator)).find(fits).copied() {
                Some(recorded) => {
                    self.restored.insert(operator.0.clone(), recorded.0.clone());
                }
                None => left.push(operator),
            }
        }
        self.job = left;
        let paired = &self.paired;
        let is_there_twice =
            |recorded: &&Operator| recorded.1.kind != SOURCE && paired.iter().any(|other| recorded.1.is_as(&other.1));
        self.recorded.retain(|recorded| !of_kind(recorded) || !is_there_twice(recorded));
    }

    /// The differences between a recorded operator and an operator of the job, including those of their sources.
    fn differences(&self, operator: &Operator, recorded: &Operator) -> Vec<Difference> {
        let mut differences = operator.1.differences(&recorded.1);
        let now = |source: &OperatorUid| self.restored.get(source).unwrap_or(source).to_string();
        let sources: Vec<String> = operator.1.sources.iter().map(now).collect();
        let before: Vec<String> = recorded.1.sources.iter().map(ToString::to_string).collect();
        differences.extend(difference("sources", Rule::AnyOrder, &before, &sources));
        differences
    }

    fn into_comparison(mut self) -> Comparison {
        let mut refusals = Vec::new();
        for recorded in std::mem::take(&mut self.recorded) {
            let alike = self.job.iter().enumerate().filter(|(_, operator)| operator.1.kind == recorded.1.kind);
            let nearest = alike.min_by_key(|(_, operator)| {
                let is_for_another = path_of(&operator.0) != path_of(&recorded.0);
                (is_for_another, self.differences(operator, recorded).len())
            });
            let nearest = nearest.map(|(index, operator)| (index, self.differences(operator, recorded)));
            let nearest = nearest.map(|(index, differences)| (self.job.remove(index).0.clone(), differences));
            refusals.push(Refusal { recorded: recorded.0.clone(), nearest });
        }
        let is_restored = |uid: &OperatorUid| self.restored.contains_key(uid);
        let mut added: Vec<OperatorUid> = self.job.iter().map(|(uid, _)| uid.clone()).collect();
        added.retain(|uid| !is_restored(uid));
        Comparison { restored: self.restored, refusals, added }
    }
}

/// The table that a source reads. If a table has several sources, all but the first one have a number.
fn table_of(source: &OperatorUid) -> &str {
    let text = source.as_str();
    let numbered = text.rsplit_once('#').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    numbered.map_or(text, |(table, _)| table)
}

/// The insert that an operator belongs to, or the table that a source reads.
fn path_of(uid: &OperatorUid) -> &str {
    let text = uid.as_str();
    if text.starts_with("source/") { text } else { text.rsplit_once('/').map_or(text, |(path, _)| path) }
}

#[cfg(test)]
mod tests;
