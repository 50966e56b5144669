//! GROUP BY over all rows.

use eddyline_job_graph::GroupAggregate;

use crate::aggregate::aggregate;
use crate::change::Change;
use crate::row::Row;
use crate::window::canonical;

/// An aggregation over all rows: the rows of each key, in order of arrival.
pub struct GroupBy {
    config: GroupAggregate,
    keys: Vec<(Row, Vec<Row>)>,
}

impl GroupBy {
    /// An aggregation without rows.
    pub fn new(config: GroupAggregate) -> Self {
        Self { config, keys: Vec::new() }
    }

    /// Makes a change of the input. Returns the changes of the result.
    pub fn change(&mut self, change: Change) -> Result<Vec<Change>, String> {
        Ok(match change {
            Change::Insert(row) => self.of_key(self.key(&row), None, Some(row))?.into_iter().collect(),
            Change::Delete(row) => self.of_key(self.key(&row), Some(row), None)?.into_iter().collect(),
            Change::Update { before, after } => {
                let (from, to) = (self.key(&before), self.key(&after));
                if from == to {
                    return Ok(self.of_key(from, Some(before), Some(after))?.into_iter().collect());
                }
                let left = self.of_key(from, Some(before), None)?;
                left.into_iter().chain(self.of_key(to, None, Some(after))?).collect()
            }
        })
    }

    fn key(&self, row: &Row) -> Row {
        self.config.keys.iter().map(|column| canonical(&row[*column])).collect()
    }

    /// Retracts a row of a key and adds another one.
    fn of_key(&mut self, key: Row, retracted: Option<Row>, added: Option<Row>) -> Result<Option<Change>, String> {
        let place = match self.keys.iter().position(|(known, _)| *known == key) {
            Some(place) => place,
            None => {
                self.keys.push((key, Vec::new()));
                self.keys.len() - 1
            }
        };
        let before = self.result(place)?;
        let rows = &mut self.keys[place].1;
        if let Some(retracted) = retracted
            && let Some(at) = rows.iter().position(|row| format!("{row:?}") == format!("{retracted:?}"))
        {
            rows.remove(at);
        }
        rows.extend(added);
        Ok(match (before, self.result(place)?) {
            (None, None) => None,
            (None, Some(after)) => Some(Change::Insert(after)),
            (Some(before), None) => Some(Change::Delete(before)),
            (Some(before), Some(after)) => (before != after).then_some(Change::Update { before, after }),
        })
    }

    /// The result of a key. `None` if it has no rows.
    fn result(&self, place: usize) -> Result<Option<Row>, String> {
        let (key, rows) = &self.keys[place];
        if rows.is_empty() {
            return Ok(None);
        }
        let rows: Vec<&Row> = rows.iter().collect();
        let results = self.config.aggregates.iter().map(|call| aggregate(call, &rows));
        let results = results.collect::<Result<Row, String>>()?;
        Ok(Some(key.iter().cloned().chain(results).collect()))
    }
}
