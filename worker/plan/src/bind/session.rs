//! What all statements of a script share: the functions, and the time zone they work in.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_expression::ScalarFunction;
use eddyline_functions::{Clock, FunctionContext};
use eddyline_job_graph::{Settings, SinkConstraints};
use eddyline_stream::TimeZone;

/// The functions of a job.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The session time zone and the clock.
    pub functions: FunctionContext,
    /// What tables that are written do about values that are not as declared.
    pub sink_constraints: SinkConstraints,
}

impl Session {
    /// A session with these settings. Functions of the current time read the machine's clock.
    pub(crate) fn new(settings: &Settings) -> Self {
        let time_zone = settings.local_time_zone.parse().unwrap_or(TimeZone::UTC);
        Self { functions: FunctionContext::new(time_zone, Clock::System), sink_constraints: settings.sink_constraints }
    }

    /// The scalar function of a name, in any case.
    pub(crate) fn function(&self, name: &str) -> Option<Arc<dyn ScalarFunction>> {
        eddyline_functions::scalar_function(name, &self.functions)
    }

    /// The names of all scalar functions.
    pub(crate) fn function_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for function in eddyline_functions::scalar_functions(&self.functions) {
            names.push(function.name().to_owned());
            names.extend(function.aliases().iter().cloned());
        }
        names.sort_unstable();
        names
    }

    /// The function that converts as Flink's CAST does, where Arrow's cast does not.
    pub(crate) fn flink_cast(&self, from: &DataType, to: &DataType, or_null: bool) -> Option<Arc<dyn ScalarFunction>> {
        eddyline_functions::flink_cast(from, to, or_null, &self.functions)
    }
}
