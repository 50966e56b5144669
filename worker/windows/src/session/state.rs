//! The state tables of sessions.

use eddyline_state::StateTable;

use crate::layout::Layout;
use crate::shape::Shape;

/// The table of sessions. The bucket of a row is its home. A row without a window says that the session is gone.
pub(crate) const SESSIONS: &str = "sessions";

/// The prefix of the names of the tables of distinct sets. Their numbers follow.
pub(super) const VALUES: &str = "session_distinct_";

/// The same in state of earlier releases, which is only read.
pub(super) const EARLIER_VALUES: &str = "distinct_";

/// The state tables of sessions. `inputs` describes the columns of the input.
pub(crate) fn state_tables(shape: &Shape, layout: &Layout, inputs: &[String]) -> Vec<StateTable> {
    let identity = |columns: usize| if layout.has_ordered_sets() { 0 } else { columns };
    let sessions = StateTable::new(SESSIONS, shape.session_state(layout.fields()))
        .holding(shape.session_contents(inputs, layout.contents(inputs)))
        .identified_by(identity(shape.keys.len()));
    let mut tables = vec![sessions];
    for (index, set) in layout.distinct.iter().enumerate() {
        let values = vec![set.content(inputs)];
        let contents = shape.key_contents(inputs).chain(values.clone()).collect();
        tables.push(
            StateTable::new(format!("{VALUES}{index}"), shape.session_values(&set.data_type))
                .holding(contents)
                .identified_by(identity(shape.keys.len() + 1)),
        );
        tables.push(
            StateTable::new(format!("{EARLIER_VALUES}{index}"), shape.earlier_session_values(&set.data_type))
                .holding(shape.earlier_value_contents(inputs, values)),
        );
    }
    tables
}
