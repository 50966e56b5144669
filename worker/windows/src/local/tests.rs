//! Access to local aggregation for tests.

use super::*;

impl LocalWindowAggregate {
    /// Passes the next rows on or aggregates them, whatever was decided.
    pub(crate) fn set_bypass(&mut self, bypass: bool, out: &mut Collector) -> Result<()> {
        self.send_all(out)?;
        self.phase = match bypass {
            true => Phase::Bypass { rows_left: BYPASS_ROWS },
            false => Phase::Aggregate { rows: 0, groups: 0 },
        };
        Ok(())
    }
}
