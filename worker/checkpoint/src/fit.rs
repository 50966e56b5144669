//! Finds the state of a job's operators in a checkpoint: by what they compute, or by their names if the checkpoint does
//! not record what its operators compute in a form that this release understands.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use eddyline_state::meaning::{self, Refusal};
use eddyline_state::{Snapshot, StateTable, TableRows};
use eddyline_stream::OperatorUid;

use crate::error::{Error, Result};
use crate::manifest::{Manifest, Table};
use crate::mismatch::{StateMismatch, TableMismatch};
use crate::operators::JobOperator;
use crate::schema;

/// Where each operator of a job finds its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit {
    operators: BTreeMap<OperatorUid, Found>,
    /// Operators of the checkpoint whose state no operator of the job restores. The user has allowed this.
    pub left_behind: Vec<OperatorUid>,
    /// Whether the checkpoint records what its operators compute. If it does not, it is unknown whether the state
    /// belongs to the same query.
    pub is_compared: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    recorded: OperatorUid,
    /// By the name of the table in the checkpoint.
    tables: BTreeMap<String, FoundTable>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FoundTable {
    name: String,
    /// For each column of the operator's table: its index in the recorded table.
    columns: Vec<usize>,
}

impl Fit {
    /// The operator of the checkpoint whose state an operator of the job restores.
    pub fn recorded(&self, operator: &OperatorUid) -> Option<&OperatorUid> {
        self.operators.get(operator).map(|found| &found.recorded)
    }

    /// Converts what was read of [`Fit::recorded`] to the form of the job's operator, without what it does not use.
    ///
    /// # Errors
    /// [`Error::Columns`] when rows cannot be concatenated.
    pub fn arrange(&self, operator: &OperatorUid, snapshot: Snapshot) -> Result<Snapshot> {
        let Some(found) = self.operators.get(operator) else { return Ok(Snapshot::default()) };
        let arranged = |rows: TableRows| {
            let table = found.tables.get(&rows.table)?;
            Some(arrange(operator, rows, table))
        };
        let keyed = snapshot.keyed.into_iter().filter_map(arranged).collect::<Result<_>>()?;
        Ok(Snapshot { keyed, buckets: Vec::new(), union: snapshot.union })
    }
}

fn arrange(operator: &OperatorUid, rows: TableRows, table: &FoundTable) -> Result<TableRows> {
    let in_place = table.columns.iter().copied().eq(0..rows.rows.num_columns());
    let batch = if in_place {
        rows.rows
    } else {
        let columns = table.columns.iter().map(|column| rows.rows.column(*column).clone()).collect();
        let schema = rows.rows.schema();
        let fields: Vec<_> = table.columns.iter().map(|column| schema.fields()[*column].clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.rows.num_rows()));
        RecordBatch::try_new_with_options(Schema::new(fields).into(), columns, &options).map_err(|source| {
            let (operator, table) = (operator.as_str().to_owned(), table.name.clone());
            Error::Columns { action: "put together", operator, table, source }
        })?
    };
    Ok(TableRows { table: table.name.clone(), rows: batch, ..rows })
}

/// Finds the state of all operators of a job, including sources and sinks. State of operators in `may_be_left` may be
/// dropped if it fits no operator.
pub(crate) fn fit(
    uri: &str,
    manifest: &Manifest,
    job: &[JobOperator],
    may_be_left: &BTreeSet<OperatorUid>,
) -> std::result::Result<Fit, StateMismatch> {
    let held = held(manifest);
    let is_silent = manifest.meanings.is_empty() && manifest.not_understood.is_empty();
    let is_compared = !is_silent && manifest.not_understood.is_empty();
    let (restored, refusals) = if is_silent { by_former_name(&held, job) } else { by_meaning(manifest, &held, job) };
    let mut fit = Fit { is_compared, ..Fit::default() };
    let mut tables = Vec::new();
    for operator in job {
        let Some(recorded) = restored.get(&operator.uid) else { continue };
        match find_tables(manifest, recorded, operator) {
            Ok(found) => {
                fit.operators.insert(operator.uid.clone(), Found { recorded: recorded.clone(), tables: found });
            }
            Err(_) if may_be_left.contains(recorded) => fit.left_behind.push(recorded.clone()),
            Err(differing) => tables.extend(differing),
        }
    }
    let (left, refused): (Vec<_>, Vec<_>) =
        refusals.into_iter().partition(|refusal| may_be_left.contains(&refusal.recorded));
    fit.left_behind.extend(left.into_iter().map(|refusal| refusal.recorded));
    if refused.is_empty() && tables.is_empty() {
        return Ok(fit);
    }
    let has = |refusal: &Refusal| held.get(&refusal.recorded).map_or("nothing yet".to_owned(), |has| has.join(", "));
    let operators = refused.into_iter().map(|refusal| (refusal.clone(), has(&refusal))).collect();
    let added = job.iter().map(|operator| &operator.uid).filter(|uid| !restored.contains_key(uid)).cloned().collect();
    Err(StateMismatch { uri: uri.to_owned(), job: manifest.job.clone(), operators, tables, added })
}

/// Describes what a checkpoint has of each operator.
fn held(manifest: &Manifest) -> BTreeMap<OperatorUid, Vec<String>> {
    let mut held: BTreeMap<OperatorUid, Vec<String>> = BTreeMap::new();
    for table in manifest.tables.iter().filter(|table| table.rows > 0) {
        held.entry(table.operator.clone()).or_default().push(format!("table {} with {} rows", table.name, table.rows));
    }
    let unions: BTreeSet<&str> = manifest.union_values.iter().map(|value| value.operator.as_str()).collect();
    for operator in unions {
        held.entry(OperatorUid::new(operator)).or_default().push("values of its subtasks".to_owned());
    }
    for (operator, splits) in manifest.splits.iter().filter(|(_, splits)| !splits.is_empty()) {
        held.entry(operator.clone()).or_default().push(format!("{} source splits", splits.len()));
    }
    for operator in manifest.finished.keys() {
        held.entry(operator.clone()).or_default().push("what has been read to its end".to_owned());
    }
    held
}

type Matched = (BTreeMap<OperatorUid, OperatorUid>, Vec<Refusal>);

fn by_meaning(manifest: &Manifest, held: &BTreeMap<OperatorUid, Vec<String>>, job: &[JobOperator]) -> Matched {
    let of_job: Vec<meaning::Operator> =
        job.iter().filter_map(|operator| Some((operator.uid.clone(), operator.meaning.clone()?))).collect();
    let comparison = meaning::compare(&manifest.meanings, &of_job);
    let (mut restored, mut refusals) = (comparison.restored, comparison.refusals);
    // An operator with state must have a meaning, unless another release has written it in another form.
    let is_stated = |uid: &OperatorUid| manifest.meanings.iter().any(|(stated, _)| stated == uid);
    for recorded in held.keys().filter(|uid| !is_stated(uid)) {
        let has_name = job.iter().any(|operator| operator.uid == *recorded) && !restored.contains_key(recorded);
        if has_name && manifest.not_understood.contains(recorded) {
            restored.insert(recorded.clone(), recorded.clone());
        } else {
            refusals.push(Refusal { recorded: recorded.clone(), nearest: None });
        }
    }
    (restored, refusals)
}

/// For manifests of early releases: by the names that operators had then.
fn by_former_name(held: &BTreeMap<OperatorUid, Vec<String>>, job: &[JobOperator]) -> Matched {
    let names = job.iter().map(|operator| (operator.uid.clone(), operator.former_uid.clone()));
    let restored: BTreeMap<_, _> = names.filter(|(_, former)| held.contains_key(former)).collect();
    let is_found = |uid: &OperatorUid| restored.values().any(|found| found == uid);
    let missing = held.keys().filter(|uid| !is_found(uid));
    let refusals = missing.map(|uid| Refusal { recorded: uid.clone(), nearest: None }).collect();
    (restored, refusals)
}

/// Finds the tables of an operator among the recorded ones.
fn find_tables(
    manifest: &Manifest,
    recorded: &OperatorUid,
    operator: &JobOperator,
) -> std::result::Result<BTreeMap<String, FoundTable>, Vec<TableMismatch>> {
    let kept: Vec<&Table> =
        manifest.tables.iter().filter(|table| table.operator == *recorded && table.rows > 0).collect();
    let mut found: BTreeMap<String, FoundTable> = BTreeMap::new();
    let mut differing = Vec::new();
    for table in &operator.tables {
        let mut alike: Vec<&&Table> = kept.iter().filter(|kept| series(&kept.name) == series(&table.name)).collect();
        alike.sort_by_key(|kept| (kept.name != table.name, kept.name.clone()));
        let free = alike.iter().filter(|kept| !found.contains_key(&kept.name));
        let place = free.filter_map(|kept| Some((kept.name.clone(), columns(kept, table)?))).next();
        match (place, alike.iter().find(|kept| kept.name == table.name)) {
            (Some((name, columns)), _) => {
                found.insert(name, FoundTable { name: table.name.clone(), columns });
            }
            // Of a series, only the tables that have rows are recorded.
            (None, Some(kept)) if series(&kept.name) == kept.name || kept.contents.is_empty() => {
                differing.push(mismatch(kept, Some(schema::plain(&table.schema))));
            }
            (None, _) => {}
        }
    }
    // Tables and columns that the operator no longer has are left out if its meaning allows that.
    let is_wanted = |kept: &&&Table| {
        let is_known = operator.tables.iter().any(|table| series(&table.name) == series(&kept.name));
        !found.contains_key(&kept.name)
            && !differing.iter().any(|other| other.table == kept.name)
            && (kept.contents.is_empty() || (!is_known && series(&kept.name) == kept.name))
    };
    let unwanted: Vec<TableMismatch> = kept.iter().filter(is_wanted).map(|kept| mismatch(kept, None)).collect();
    differing.extend(unwanted);
    if differing.is_empty() { Ok(found) } else { Err(differing) }
}

fn mismatch(kept: &Table, expected: Option<SchemaRef>) -> TableMismatch {
    let (operator, table) = (kept.operator.clone(), kept.name.clone());
    TableMismatch { operator, table, recorded: kept.schema.clone(), expected }
}

/// The name of a table without its number. The number of a table in a series depends on the order of a query.
fn series(name: &str) -> &str {
    name.trim_end_matches(|character: char| character.is_ascii_digit())
}

/// For each column of a table its index in the recorded one. Columns are matched by what they hold, or by index where
/// that is not known. Names and nullability do not matter: an operator refuses NULLs that it cannot accept.
fn columns(kept: &Table, table: &StateTable) -> Option<Vec<usize>> {
    let types = |schema: &SchemaRef| -> Vec<DataType> {
        schema::plain(schema).fields().iter().map(|field| field.data_type().clone()).collect()
    };
    let (recorded, wanted) = (types(&kept.schema), types(&table.schema));
    if kept.contents.len() != recorded.len() || table.contents.len() != wanted.len() {
        return (recorded == wanted).then(|| (0..wanted.len()).collect());
    }
    let mut taken = vec![false; recorded.len()];
    let mut places = Vec::with_capacity(wanted.len());
    for (content, data_type) in table.contents.iter().zip(&wanted) {
        let same = |place: &usize| kept.contents[*place] == *content && recorded[*place] == *data_type;
        // A volatile expression can occur more than once with different values.
        let place = (0..recorded.len()).filter(same).find(|place| !taken[*place]);
        let place = place.or_else(|| (0..recorded.len()).find(same))?;
        taken[place] = true;
        places.push(place);
    }
    Some(places)
}
