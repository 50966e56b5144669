//! The columns of a window aggregation: those of its input, its output and its state.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use eddyline_job_graph::{AggregateFunction, TimeColumn, WindowAggregate, WindowAssigner, WindowColumn};
use eddyline_state::input_column;
use eddyline_stream::key_hash;

use crate::Error;
use crate::layout::Layout;

/// The metadata key of a schema of partial accumulators. The same edge also carries rows that were not aggregated.
const PARTIAL: &str = "eddyline.partial";

/// Whether a batch with this schema has partial accumulators.
pub(crate) fn is_partial(schema: &Schema) -> bool {
    schema.metadata().contains_key(PARTIAL)
}

/// The window columns in state.
const WINDOW_START: &str = "window_start";
const WINDOW_END: &str = "window_end";
/// The columns of spilled state that say where its rows belong.
const SLICE_END: &str = "slice_end";
const AGE: &str = "age";

/// TIMESTAMP(3).
pub(crate) const LOCAL_TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// The columns of one aggregation.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The input columns of the keys.
    pub(crate) keys: Vec<usize>,
    pub(crate) key_types: Vec<DataType>,
    key_fields: Vec<FieldRef>,
    /// The type of `window_time`.
    time_type: DataType,
    /// The name of the time column, for messages.
    pub(crate) time_name: String,
    /// Which input columns are read.
    pub(crate) used: Vec<bool>,
    /// Whether rows already have their window. Then the start of a slice does not follow from its end.
    pub(crate) is_attached: bool,
    pub(crate) output: SchemaRef,
}

impl Shape {
    pub(crate) fn new(config: &WindowAggregate, input: &SchemaRef, layout: &Layout) -> Result<Self, Error> {
        let columns = input.fields().len();
        let field = |position: usize| input.fields().get(position).ok_or(Error::NoSuchColumn { position, columns });
        let key_fields = config.keys.iter().map(|key| field(*key).cloned()).collect::<Result<Vec<_>, _>>()?;
        let key_types: Vec<DataType> = key_fields.iter().map(|field| field.data_type().clone()).collect();
        if let Some(unsupported) = key_types.iter().find(|data_type| !key_hash::is_supported(data_type)) {
            return Err(key_hash::UnsupportedKey(unsupported.clone()).into());
        }
        let is_attached = matches!(config.assigner, WindowAssigner::Attached { .. });
        let mut time_name = String::new();
        if let Some(time) = &config.time {
            check_time(time, input)?;
            time_name = field(time.column)?.name().clone();
        }
        let time_type = match &config.time {
            Some(time) => field(time.column)?.data_type().clone(),
            None if is_attached => LOCAL_TIME,
            None => return Err(Error::InvalidWindow("a window needs a time attribute".to_owned())),
        };
        let mut used = vec![false; columns];
        let window = match config.assigner {
            WindowAssigner::Attached { start, end } => vec![start, end],
            _ => config.time.iter().map(|time| time.column).collect(),
        };
        let arguments = layout.slots.iter().flat_map(|slot| [slot.argument, slot.filter]).flatten();
        for position in config.keys.iter().copied().chain(window).chain(arguments) {
            *used.get_mut(position).ok_or(Error::NoSuchColumn { position, columns })? = true;
        }
        let output = output_schema(config, &key_fields, &time_type);
        let keys = config.keys.clone();
        Ok(Self { keys, key_types, key_fields, time_type, time_name, used, is_attached, output })
    }

    /// The type of a window column.
    pub(crate) fn window_type(&self, column: WindowColumn) -> &DataType {
        if column == WindowColumn::Time { &self.time_type } else { &LOCAL_TIME }
    }

    /// The columns of partial accumulators: keys, the slice, accumulators.
    pub(crate) fn partial(&self, layout: &Layout) -> SchemaRef {
        let mut fields = self.key_fields.clone();
        if self.is_attached {
            fields.push(Arc::new(Field::new("slice_start", LOCAL_TIME, false)));
        }
        fields.push(Arc::new(Field::new("slice_end", LOCAL_TIME, false)));
        fields.extend(layout.fields().into_iter().map(Arc::new));
        Arc::new(Schema::new_with_metadata(fields, [(PARTIAL.to_owned(), String::new())].into()))
    }

    /// The columns of the state of groups: keys, the start of the window if it does not follow from the end,
    /// accumulators.
    pub(crate) fn state(&self, layout: &Layout) -> SchemaRef {
        self.state_of(layout.fields())
    }

    /// The columns of the state of a distinct set.
    pub(crate) fn distinct_state(&self, data_type: &DataType) -> SchemaRef {
        self.state_of(vec![Field::new("value", data_type.clone(), true)])
    }

    fn state_of(&self, values: Vec<Field>) -> SchemaRef {
        let mut fields = self.key_fields.clone();
        if self.is_attached {
            fields.push(Arc::new(Field::new(WINDOW_START, LOCAL_TIME, false)));
        }
        fields.extend(values.into_iter().map(Arc::new));
        Arc::new(Schema::new(fields))
    }

    /// The columns of spilled state: keys, the start of the window if it does not follow from the end, the end of the slice,
    /// the age, `values`. Of rows with one key and slice, those with a smaller age are older.
    pub(crate) fn spilled_state(&self, values: Vec<Field>) -> SchemaRef {
        let end = Field::new(SLICE_END, LOCAL_TIME, false);
        let age = Field::new(AGE, DataType::Int64, false);
        self.state_of([end, age].into_iter().chain(values).collect())
    }

    /// What the columns of [`Self::spilled_state`] hold.
    pub(crate) fn spilled_contents(&self, inputs: &[String], values: Vec<String>) -> Vec<String> {
        self.contents(inputs, [SLICE_END, AGE].map(str::to_owned).into_iter().chain(values).collect())
    }

    /// The columns of the state of sessions: keys, window, and `values`. The window is NULL if the session is gone.
    pub(crate) fn session_state(&self, values: Vec<Field>) -> SchemaRef {
        let window = [WINDOW_START, WINDOW_END].map(|name| Field::new(name, LOCAL_TIME, true));
        self.keyed(window.into_iter().chain(values))
    }

    /// The columns of the values of a distinct set of sessions: keys and values.
    pub(crate) fn session_values(&self, data_type: &DataType) -> SchemaRef {
        self.keyed([Field::new("value", data_type.clone(), true)])
    }

    /// The same in state of earlier releases: keys, the start of the session, and values.
    pub(crate) fn earlier_session_values(&self, data_type: &DataType) -> SchemaRef {
        self.keyed([Field::new(WINDOW_START, LOCAL_TIME, false), Field::new("value", data_type.clone(), true)])
    }

    /// Keys and further columns.
    fn keyed(&self, fields: impl IntoIterator<Item = Field>) -> SchemaRef {
        let keys = self.key_fields.iter().cloned();
        Arc::new(Schema::new(keys.chain(fields.into_iter().map(Arc::new)).collect::<Vec<FieldRef>>()))
    }

    /// What the columns of [`Self::state`] and [`Self::distinct_state`] hold: keys, the start if there is one,
    /// `values`.
    pub(crate) fn contents(&self, inputs: &[String], values: Vec<String>) -> Vec<String> {
        let start = self.is_attached.then(|| WINDOW_START.to_owned());
        self.key_contents(inputs).chain(start).chain(values).collect()
    }

    /// What the columns of [`Self::session_state`] hold.
    pub(crate) fn session_contents(&self, inputs: &[String], values: Vec<String>) -> Vec<String> {
        self.key_contents(inputs).chain([WINDOW_START, WINDOW_END].map(str::to_owned)).chain(values).collect()
    }

    /// What the columns of [`Self::earlier_session_values`] hold.
    pub(crate) fn earlier_value_contents(&self, inputs: &[String], values: Vec<String>) -> Vec<String> {
        self.key_contents(inputs).chain([WINDOW_START.to_owned()]).chain(values).collect()
    }

    /// The columns of keys that are behind: the key, and the end of its next window.
    pub(crate) fn behind(&self) -> SchemaRef {
        let end = Arc::new(Field::new("next_window_end", LOCAL_TIME, false));
        Arc::new(Schema::new(self.key_fields.iter().cloned().chain([end]).collect::<Vec<FieldRef>>()))
    }

    /// How many columns of [`Self::state`] identify a row: keys, and the start where there is one.
    pub(crate) fn identity(&self) -> usize {
        self.keys.len() + usize::from(self.is_attached)
    }

    /// What the columns of the keys hold.
    pub(crate) fn key_contents<'a>(&'a self, inputs: &'a [String]) -> impl Iterator<Item = String> + 'a {
        self.keys.iter().map(|key| input_column(inputs, *key))
    }

    /// The key columns of a batch of the input.
    pub(crate) fn key_columns(&self, columns: &[ArrayRef]) -> Vec<ArrayRef> {
        self.keys.iter().map(|key| columns[*key].clone()).collect()
    }
}

/// Checks that windows can be cut by a column.
pub(crate) fn check_time(time: &TimeColumn, input: &SchemaRef) -> Result<(), Error> {
    let columns = input.fields().len();
    let field = input.fields().get(time.column).ok_or(Error::NoSuchColumn { position: time.column, columns })?;
    match field.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(()),
        found => Err(Error::NotATimeAttribute { column: field.name().clone(), found: found.clone() }),
    }
}

fn output_schema(config: &WindowAggregate, key_fields: &[FieldRef], time_type: &DataType) -> SchemaRef {
    let mut fields: Vec<FieldRef> = key_fields.to_vec();
    for call in &config.aggregates {
        let counts = matches!(call.function, AggregateFunction::Count | AggregateFunction::CountStar);
        fields.push(Arc::new(Field::new(&call.name, call.result_type.clone(), !counts)));
    }
    for column in &config.window_columns {
        fields.push(Arc::new(match column {
            WindowColumn::Start => Field::new(WINDOW_START, LOCAL_TIME, false),
            WindowColumn::End => Field::new(WINDOW_END, LOCAL_TIME, false),
            WindowColumn::Time => Field::new("window_time", time_type.clone(), false),
        }));
    }
    Arc::new(Schema::new(fields))
}
