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

    /// Adds a row. Returns the change of the result; `None` if it stays as it is.
    pub fn row(&mut self, row: Row) -> Result<Option<Change>, String> {
        let key: Row = self.config.keys.iter().map(|column| canonical(&row[*column])).collect();
        let Some(place) = self.keys.iter().position(|(known, _)| *known == key) else {
            self.keys.push((key, vec![row]));
            return self.result(self.keys.len() - 1).map(|result| Some(Change::Insert(result)));
        };
        let before = self.result(place)?;
        self.keys[place].1.push(row);
        let after = self.result(place)?;
        Ok((before != after).then_some(Change::Update { before, after }))
    }

    fn result(&self, place: usize) -> Result<Row, String> {
        let (key, rows) = &self.keys[place];
        let rows: Vec<&Row> = rows.iter().collect();
        let results = self.config.aggregates.iter().map(|call| aggregate(call, &rows));
        let results = results.collect::<Result<Row, String>>()?;
        Ok(key.iter().cloned().chain(results).collect())
    }
}
