//! The job of the benchmarks: a tumbling window per key over the columns `key`, `ts` and `value`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use eddyline_job_graph::{AggregateCall, AggregateFunction, TimeColumn, WindowAggregate, WindowAssigner, WindowColumn};

pub fn schema(key: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", key, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("value", DataType::Int64, true),
    ]))
}

/// Aggregates `value` by each of `functions`, in windows of `size_ms`.
pub fn config(size_ms: i64, functions: &[AggregateFunction]) -> WindowAggregate {
    let call = |function: &AggregateFunction| AggregateCall {
        function: function.clone(),
        argument: Some(2),
        distinct: false,
        filter: None,
        argument_type: Some(DataType::Int64),
        result_type: DataType::Int64,
        name: function.name().to_owned(),
    };
    WindowAggregate {
        assigner: WindowAssigner::Tumble { size_ms, offset_ms: 0 },
        time: Some(TimeColumn { column: 1, time_zone: None }),
        keys: vec![0],
        aggregates: functions.iter().map(call).collect(),
        window_columns: vec![WindowColumn::Start, WindowColumn::End],
    }
}
