//! What tests need of the aggregation beside the sender.

use super::*;

impl LocalWindowAggregate {
    /// Passes the next rows on, or aggregates them, whatever was judged.
    pub(crate) fn set_bypass(&mut self, bypass: bool, out: &mut Collector) -> Result<()> {
        self.send_all(out)?;
        self.phase = match bypass {
            true => Phase::Bypass { rows_left: BYPASS_ROWS },
            false => Phase::Aggregate { rows: 0, groups: 0 },
        };
        Ok(())
    }
}
