//! The tables and views of a script.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use eddyline_connectors::config::{SinkConfig, SourceConfig};
use eddyline_connectors::{OptionError, OptionErrors, TableDescriptor};
use eddyline_job_graph::{Alignment, Projection};
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Span;

use super::calc::{calc, column};
use super::relation::{Expression, Rel, RelKind, Relation, Role, ScopeField, schema};
use crate::diagnostics::{Diagnostic, Result};
use crate::parse::ddl::CreateTable;
use crate::suggestion::{listed, nearest};

/// A table, bound.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The definition as written, merged with that of LIKE.
    pub definition: CreateTable,
    /// The description of the table for its connector.
    pub descriptor: TableDescriptor,
    /// All columns, in DDL order.
    pub columns: Vec<Column>,
    /// `WATERMARK FOR`.
    pub watermark: Option<Watermark>,
    /// `watermark.max-future-skew`.
    pub future_skew_max: Option<Duration>,
    /// `scan.watermark.alignment.*`.
    pub alignment: Option<Alignment>,
    /// The place of its name.
    pub span: Span,
    /// Its options, parsed by its connector.
    pub options: Options,
}

/// The parsed options of a table, as a source and as a sink. Each is parsed on first use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    source: OnceCell<std::result::Result<SourceConfig, OptionErrors>>,
    sink: OnceCell<std::result::Result<SinkConfig, OptionErrors>>,
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// Name, type and whether it can be NULL.
    pub field: Field,
    /// The origin of its values.
    pub source: ColumnSource,
    /// Whether it is a time attribute or another special column.
    pub role: Role,
}

/// The origin of the values of a column.
#[derive(Clone, Debug)]
pub(crate) enum ColumnSource {
    /// The physical column at this position in the descriptor.
    Physical(usize),
    /// The metadata column at this position in the descriptor.
    Metadata(usize),
    /// An expression over the physical columns, followed by the metadata columns.
    Computed(Expression),
}

/// `WATERMARK FOR`, bound.
#[derive(Clone, Debug)]
pub(crate) struct Watermark {
    /// The position of the column, in DDL order.
    pub column: usize,
    /// The watermark of a row, over all columns in DDL order.
    pub expression: Expression,
    /// Its delay behind the column in milliseconds, if it is the column minus an interval.
    pub delay_ms: Option<i64>,
}

/// A view, bound.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Its rows.
    pub relation: Relation,
    /// The number of views between it and the tables.
    pub depth: usize,
}

/// A table or a view.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    /// A table.
    Table(Box<Table>),
    /// A view.
    View(Box<View>),
}

/// The tables and views of a script, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    objects: BTreeMap<String, Object>,
    /// Names whose CREATE had an error. Using them is not reported as a further error.
    failed: BTreeSet<String>,
    /// The tables that the current statement reads and writes.
    uses: RefCell<Vec<Use>>,
}

/// A table that a statement uses.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    /// The table's name.
    pub table: String,
    /// Whether it is written; otherwise it is read.
    pub writes: bool,
    /// The place of the use.
    pub span: Span,
}

impl Catalog {
    /// The name without the default catalog and database.
    pub(crate) fn resolve<'p>(&self, parts: &'p [Ident]) -> Result<&'p str> {
        match parts {
            [name] => Ok(&name.value),
            [database, name] if database.value == "default_database" => Ok(&name.value),
            [catalog, database, name] if catalog.value == "default_catalog" && database.value == "default_database" => {
                Ok(&name.value)
            }
            [first, ..] => {
                Err(Diagnostic::at(first.span, format!("there is no catalog or database '{}'", first.value))
                    .help("only the default catalog is supported: use the table's name alone"))
            }
            [] => Err(Diagnostic::at(Span::empty(), "expected a name")),
        }
    }

    /// The table or view with this name.
    pub(crate) fn get(&self, name: &str, span: Span) -> Result<&Object> {
        if let Some(object) = self.objects.get(name) {
            return Ok(object);
        }
        let diagnostic = Diagnostic::at(span, format!("table or view '{name}' not found"));
        if self.failed.contains(name) {
            return Err(diagnostic.into_consequence());
        }
        let names: Vec<&str> = self.objects.keys().map(String::as_str).collect();
        Err(match nearest(name, names.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`? Names are case-sensitive")),
            None if names.is_empty() => diagnostic.help("create it before it is used"),
            None => diagnostic.help(format!("create it before it is used; known here: {}", listed(&names))),
        })
    }

    /// The table with this name. A view is an error.
    pub(crate) fn table(&self, name: &str, span: Span) -> Result<&Table> {
        match self.get(name, span)? {
            Object::Table(table) => Ok(table),
            Object::View(_) => Err(Diagnostic::at(span, format!("'{name}' is a view, not a table"))),
        }
    }

    /// Records that the current statement uses a table.
    pub(crate) fn record_use(&self, table: &str, writes: bool, span: Span) {
        self.uses.borrow_mut().push(Use { table: table.to_owned(), writes, span });
    }

    /// The uses since the last call.
    pub(crate) fn take_uses(&self) -> Vec<Use> {
        self.uses.take()
    }

    /// Whether the name is taken.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.objects.contains_key(name)
    }

    /// Adds a table or view.
    pub(crate) fn add(&mut self, name: &str, object: Object) {
        self.failed.remove(name);
        self.objects.insert(name.to_owned(), object);
    }

    /// Records that the CREATE of a name had an error.
    pub(crate) fn add_failed(&mut self, name: &str) {
        if !self.contains(name) {
            self.failed.insert(name.to_owned());
        }
    }

    /// Removes a table or view.
    pub(crate) fn remove(&mut self, name: &str) {
        self.objects.remove(name);
        self.failed.remove(name);
    }

    /// Whether the CREATE of a name had an error.
    pub(crate) fn has_failed(&self, name: &str) -> bool {
        self.failed.contains(name)
    }
}

impl Table {
    /// All columns, in DDL order.
    pub(crate) fn schema(&self) -> SchemaRef {
        schema(self.columns.iter().map(|column| column.field.clone()))
    }

    /// The names of all columns, in DDL order.
    pub(crate) fn fields(&self) -> Vec<ScopeField> {
        self.columns
            .iter()
            .map(|column| ScopeField { qualifier: None, name: column.field.name().clone(), role: column.role })
            .collect()
    }

    /// All physical columns, then all metadata columns. Computed columns are expressions over these.
    pub(crate) fn reader_schema(&self) -> SchemaRef {
        reader_schema(&self.descriptor)
    }

    /// The rows of the table, which has this name in the script. A volatile computed column is evaluated after the
    /// source, separately for each place that reads the table, because places share sources. Columns that the watermark
    /// needs are computed in the source.
    pub(crate) fn scan(&self, name: &str) -> Rel {
        let scan = Rel { schema: self.schema(), kind: RelKind::Scan { table: name.to_owned() } };
        let timed = |index: usize| {
            let needs = |watermark: &Watermark| watermark.expression.columns().contains(&index);
            self.watermark.as_ref().is_some_and(|watermark| watermark.column == index || needs(watermark))
        };
        let volatile = |index: usize, column: &Column| match &column.source {
            ColumnSource::Computed(expression) if expression.is_volatile() && !timed(index) => Some(expression.clone()),
            _ => None,
        };
        let drawn: Vec<Option<Expression>> =
            self.columns.iter().enumerate().map(|(index, column)| volatile(index, column)).collect();
        if drawn.iter().all(Option::is_none) {
            return scan;
        }
        // The expressions refer to columns of the reader. Each of these is a column of the table.
        let physical = self.descriptor.schema.fields().len();
        let places: BTreeMap<usize, usize> = (self.columns.iter().enumerate())
            .filter_map(|(index, column)| match column.source {
                ColumnSource::Physical(position) => Some((position, index)),
                ColumnSource::Metadata(position) => Some((physical + position, index)),
                ColumnSource::Computed(_) => None,
            })
            .collect();
        let of = |(index, drawn): (usize, Option<Expression>)| Projection {
            expression: drawn.map_or_else(|| column(&scan.schema, index), |expression| expression.remap(&places)),
            name: self.columns[index].field.name().clone(),
        };
        let columns = drawn.into_iter().enumerate().map(of).collect();
        calc(scan, None, columns)
    }

    /// Its options as a source.
    pub(crate) fn source(&self) -> std::result::Result<&SourceConfig, &OptionErrors> {
        self.options.source.get_or_init(|| SourceConfig::parse(&self.descriptor)).as_ref()
    }

    /// Its options as a sink.
    pub(crate) fn sink(&self) -> std::result::Result<&SinkConfig, &OptionErrors> {
        self.options.sink.get_or_init(|| SinkConfig::parse(&self.descriptor)).as_ref()
    }

    /// All errors that the connector reports about the table's options.
    pub(crate) fn option_errors(&self, writes: bool, used_at: Span) -> Vec<Diagnostic> {
        let errors = if writes { self.sink().err() } else { self.source().err() };
        errors.into_iter().flat_map(OptionErrors::iter).map(|error| self.option_error(error, used_at)).collect()
    }

    fn option_error(&self, error: &OptionError, used_at: Span) -> Diagnostic {
        let option = |key: &str| self.definition.options.iter().find(|option| option.key == key);
        match error.key.as_deref().and_then(option) {
            Some(option) => Diagnostic::at(option.span, error.message.clone()),
            None => Diagnostic::at(self.span, error.message.clone())
                .help(format!("the table is used at line {}", used_at.start.line)),
        }
    }
}

/// All physical columns of a table, then all metadata columns.
pub(crate) fn reader_schema(descriptor: &TableDescriptor) -> SchemaRef {
    let physical = descriptor.schema.fields().iter().map(|field| field.as_ref().clone());
    let metadata = descriptor.metadata.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
    schema(physical.chain(metadata))
}

/// Whether a column of this type can be an event-time attribute.
pub(crate) fn can_be_rowtime(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Millisecond, _))
}

#[cfg(test)]
mod tests {
    use eddyline_job_graph::Settings;

    use super::*;
    use crate::Script;
    use crate::bind::session::Session;
    use crate::bind::tables;
    use crate::parse::statements::{self, Statement};

    #[test]
    fn the_options_of_a_table_are_read_once_for_each_use() {
        let text = "CREATE TABLE t (a INT) WITH ('connector' = 'filesystem', 'path' = '/t', 'format' = 'json')";
        let script = Script { name: "t.sql".to_owned(), text: text.to_owned() };
        let Some(Statement::CreateTable(definition)) = statements::parse(&script).statements.pop() else {
            panic!("a table")
        };
        let table = tables::bind(&Session::new(&Settings::default()), &Catalog::default(), *definition);
        let table = table.expect("a table");
        let (source, sink) = (table.source().expect("options"), table.sink().expect("options"));
        assert!(table.option_errors(true, table.span).is_empty() && table.option_errors(false, table.span).is_empty());
        assert!(std::ptr::eq(source, table.source().expect("options")));
        assert!(std::ptr::eq(sink, table.sink().expect("options")));
    }
}
