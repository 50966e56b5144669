//! The context of expressions: functions, time zone, and enforcement of constraints.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_expression::ScalarFunction;
use eddyline_functions::{Clock, FunctionContext};
use eddyline_job_graph::{Settings, SinkConstraints};
use eddyline_stream::TimeZone;

/// The context that a statement is bound in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The session time zone and the clock.
    pub functions: FunctionContext,
    /// How sinks enforce the constraints of their columns.
    pub sink_constraints: SinkConstraints,
}

impl Session {
    /// A session with these settings. Functions of the current time read the machine's clock.
    pub(crate) fn new(settings: &Settings) -> Self {
        let time_zone = settings.local_time_zone.parse().unwrap_or(TimeZone::UTC);
        Self { functions: FunctionContext::new(time_zone, Clock::System), sink_constraints: settings.sink_constraints }
    }

    /// The scalar function with this name, in any case.
    pub(crate) fn function(&self, name: &str) -> Option<Arc<dyn ScalarFunction>> {
        eddyline_functions::scalar_function(name, &self.functions)
    }

    /// The names and aliases of all scalar functions, sorted.
    pub(crate) fn function_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for function in eddyline_functions::scalar_functions(&self.functions) {
            names.push(function.name().to_owned());
            names.extend(function.aliases().iter().cloned());
        }
        names.sort_unstable();
        names
    }

    /// The function for a CAST where Flink's differs from Arrow's.
    pub(crate) fn flink_cast(&self, from: &DataType, to: &DataType, or_null: bool) -> Option<Arc<dyn ScalarFunction>> {
        eddyline_functions::flink_cast(from, to, or_null, &self.functions)
    }
}
