//! Binds queries: FROM, WHERE, SELECT, WITH, UNION ALL. Unsupported clauses are refused by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_expression::Scalar;
use eddyline_job_graph::Projection;
use eddyline_stream::sql_type;
use sqlparser::ast::{
    Cte, Distinct, Expr, GroupByExpr, Ident, Query, Select, SetExpr, SetOperator, SetQuantifier, Spanned, TableAlias,
    TableFactor,
};
use sqlparser::tokenizer::Span;

use super::aggregates::{self, Draft};
use super::calc::{calc, column};
use super::catalog::{Catalog, Object};
use super::expression::{ExpressionBinder, Place};
use super::grouping::{Entry, Grouping, aggregate};
use super::over::over;
use super::projection::{Item, expand, name_of, project};
use super::relation::{Rel, Relation, Role, ScopeField};
use super::scope::Scope;
use super::session::Session;
use super::union::union;
use super::{types, windowing};
use crate::diagnostics::{Diagnostic, Result, all, both, is_empty};
use crate::parse::window_tvf::{PLACEHOLDER, ParsedQuery};

/// The maximum nesting of queries, views and subqueries.
const DEPTH_MAX: usize = 48;
/// The maximum number of tables that a statement reads. The tables of a view count for each use of the view.
const TABLES_MAX: usize = 2_000;

/// Binds the queries of one statement.
pub(crate) struct QueryBinder<'a> {
    pub(crate) session: &'a Session,
    catalog: &'a Catalog,
    tables_left: usize,
    depth: usize,
    /// The number of views between this statement and the tables.
    pub(crate) views_below: usize,
}

/// What a query can refer to in addition to the catalog.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The enclosing query of the statement: its window functions, and its place.
    pub parsed: &'a ParsedQuery,
    /// The queries of WITH, by name.
    pub with: &'a BTreeMap<String, Relation>,
}

impl<'a> QueryBinder<'a> {
    /// A binder for one statement.
    pub(crate) fn new(session: &'a Session, catalog: &'a Catalog) -> Self {
        Self { session, catalog, tables_left: TABLES_MAX, depth: 0, views_below: 0 }
    }

    /// Binds a query.
    pub(crate) fn bind(&mut self, parsed: &ParsedQuery) -> Result<Relation> {
        let with = BTreeMap::new();
        self.bind_query(&parsed.query, Surroundings { parsed, with: &with })
    }

    /// Binds a query inside of another.
    pub(crate) fn bind_query(&mut self, query: &Query, around: Surroundings<'_>) -> Result<Relation> {
        if self.depth >= DEPTH_MAX {
            return Err(Diagnostic::at(around.parsed.span, "queries are nested too deeply"));
        }
        self.depth += 1;
        let relation = self.bind_query_inner(query, around);
        self.depth -= 1;
        relation
    }

    fn bind_query_inner(&mut self, query: &Query, around: Surroundings<'_>) -> Result<Relation> {
        refuse_clauses(query, around.parsed.span)?;
        let mut with = around.with.clone();
        if let Some(clause) = &query.with {
            if clause.recursive {
                return Err(Diagnostic::at(clause.with_token.0.span, "WITH RECURSIVE is not supported"));
            }
            for Cte { alias, query, .. } in &clause.cte_tables {
                let bound = self.bind_query(query, Surroundings { with: &with, ..around })?;
                let bound = rename(bound, &alias.name, alias.columns.iter().map(|column| &column.name))?;
                with.insert(alias.name.value.clone(), bound);
            }
        }
        self.bind_set(&query.body, Surroundings { with: &with, ..around })
    }

    fn bind_set(&mut self, body: &SetExpr, around: Surroundings<'_>) -> Result<Relation> {
        let span = place(body.span(), around.parsed.span);
        match body {
            SetExpr::Select(select) => self.bind_select(select, around),
            SetExpr::Query(query) => self.bind_query(query, around),
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, .. } => {
                self.bind_union(body, around, span)
            }
            SetExpr::SetOperation {
                op: SetOperator::Union,
                set_quantifier: SetQuantifier::None | SetQuantifier::Distinct,
                ..
            } => {
                let relation = self.bind_union(body, around, span)?;
                self.bind_distinct(relation, span)
            }
            SetExpr::SetOperation { op: SetOperator::Union, right, .. } => {
                Err(Diagnostic::at(place(right.span(), span), "UNION BY NAME is not supported"))
            }
            SetExpr::SetOperation { op, right, .. } => {
                Err(Diagnostic::at(place(right.span(), span), format!("{op} is not supported")))
            }
            SetExpr::Values(_) => Err(Diagnostic::at(span, "VALUES is not supported")
                .help("read rows from a table; 'connector' = 'datagen' generates them")),
            SetExpr::Table(_) => {
                Err(Diagnostic::at(span, "TABLE t as a query is not supported").help("use SELECT * FROM t"))
            }
            _ => Err(Diagnostic::at(span, "this is not a query")),
        }
    }

    fn bind_union(&mut self, body: &SetExpr, around: Surroundings<'_>, span: Span) -> Result<Relation> {
        // UNION is left-associative. A loop instead of recursion allows long chains. Rows that are the same on the left
        // of a UNION without ALL need not be removed twice.
        let keeps_all = matches!(body, SetExpr::SetOperation { set_quantifier: SetQuantifier::All, .. });
        let is_part = |quantifier: &SetQuantifier| match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => !keeps_all,
            _ => false,
        };
        let mut sides = Vec::new();
        let mut current = body;
        while let SetExpr::SetOperation { op: SetOperator::Union, left, right, set_quantifier } = current {
            if !is_part(set_quantifier) {
                break;
            }
            sides.push(right.as_ref());
            current = left;
        }
        sides.push(current);
        let mut inputs = Vec::with_capacity(sides.len());
        for side in sides.into_iter().rev() {
            inputs.push((self.bind_set(side, around)?, place(side.span(), span)));
        }
        union(self.session, inputs)
    }

    fn bind_select(&mut self, select: &Select, around: Surroundings<'_>) -> Result<Relation> {
        let span = place(select.select_token.0.span, around.parsed.span);
        refuse_select_clauses(select, span)?;
        let [from] = select.from.as_slice() else {
            return Err(match select.from.get(1) {
                Some(second) => refuse_join(place(second.relation.span(), span), "a join of several tables in FROM"),
                None => Diagnostic::at(span, "SELECT without FROM is not supported"),
            });
        };
        if let Some(join) = from.joins.first() {
            return Err(refuse_join(place(join.relation.span(), span), "JOIN"));
        }
        let mut relation = self.bind_factor(&from.relation, around)?;
        let mut of_filter = Ok(());
        if let Some(condition) = &select.selection {
            let scope = Scope::of(&relation);
            let binder = ExpressionBinder {
                around: span,
                ..ExpressionBinder::new(self.session, &scope, Place::Scalar("WHERE"))
            };
            match binder.bind_condition(condition, "WHERE") {
                Ok(filter) => {
                    let columns = identity(&relation.rel);
                    let rel = calc(relation.rel, Some(filter), columns);
                    relation = Relation { rel, fields: relation.fields };
                }
                Err(error) => of_filter = Err(error),
            }
        }
        let items = expand(&relation, &select.projection, span);
        let of_items = items.and_then(|items| self.bind_items(select, relation, &items, span));
        let ((), relation) = both(of_filter, of_items)?;
        match &select.distinct {
            None | Some(Distinct::All) => Ok(relation),
            Some(Distinct::On(_)) => Err(Diagnostic::at(span, "DISTINCT ON is not supported")),
            Some(Distinct::Distinct) => self.bind_distinct(relation, span),
        }
    }

    fn bind_items(&self, select: &Select, relation: Relation, items: &[Item], span: Span) -> Result<Relation> {
        let GroupByExpr::Expressions(group_by, modifiers) = &select.group_by else {
            return Err(Diagnostic::at(span, "GROUP BY ALL is not supported"));
        };
        if !modifiers.is_empty() {
            return Err(Diagnostic::at(span, "GROUP BY WITH ROLLUP, CUBE or TOTALS is not supported"));
        }
        let expressions = || items.iter().filter_map(|item| item.expression.as_ref()).chain(&select.having);
        let calls = aggregates::calls_in(expressions(), false);
        if !group_by.is_empty() || !calls.is_empty() || select.having.is_some() {
            return self.bind_grouped(select, relation, items, group_by, span);
        }
        let over_calls = aggregates::calls_in(expressions(), true);
        if over_calls.is_empty() {
            let scope = Scope::of(&relation);
            let binder = ExpressionBinder {
                around: span,
                ..ExpressionBinder::new(self.session, &scope, Place::Scalar("SELECT"))
            };
            return project(&binder, relation.rel, items, None);
        }
        let (rel, calls, positions) = over(self.session, &relation, &over_calls, &select.named_window, span)?;
        let scope = calls.output();
        let binder =
            ExpressionBinder { around: span, ..ExpressionBinder::new(self.session, &scope, Place::Over(&calls)) };
        project(&binder, rel, items, Some(&positions))
    }

    fn bind_grouped(
        &self,
        select: &Select,
        relation: Relation,
        items: &[Item],
        group_by: &[Expr],
        span: Span,
    ) -> Result<Relation> {
        let input = Scope::of(&relation);
        let binder =
            ExpressionBinder { around: span, ..ExpressionBinder::new(self.session, &input, Place::Scalar("GROUP BY")) };
        let mut entries: Vec<Entry> = Vec::new();
        // GROUP BY (a, b) means GROUP BY a, b.
        let listed = group_by.iter().flat_map(|expression| match expression {
            Expr::Tuple(fields) => fields.as_slice(),
            single => std::slice::from_ref(single),
        });
        for expression in listed {
            let own = place(expression.span(), span);
            if matches!(expression, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_)) {
                return Err(Diagnostic::at(own, "GROUPING SETS, CUBE and ROLLUP are not supported yet"));
            }
            if matches!(expression, Expr::Value(_)) {
                return Err(
                    Diagnostic::at(own, "GROUP BY the number of a column is not supported").help("name the column")
                );
            }
            let bound = binder.bind(expression).map_err(|error| alias_hint(error, expression, items))?;
            let is_interval = *bound.data_type() == types::DAY_TIME || *bound.data_type() == types::YEAR_MONTH;
            if is_interval || bound.data_type().is_null() {
                return Err(Diagnostic::at(own, format!("GROUP BY {} is not supported", sql_type(bound.data_type()))));
            }
            if entries.iter().any(|entry| entry.bound == bound) {
                continue;
            }
            let role = bound.as_column().map_or(Role::Plain, |index| input.role(index));
            let name = name_of(expression).unwrap_or_else(|| format!("key_{}", entries.len()));
            entries.push(Entry::new(&binder, bound, role, name, own)?);
        }
        let mut drafts: Vec<Draft> = Vec::new();
        let expressions = items.iter().filter_map(|item| item.expression.as_ref()).chain(&select.having);
        let bound = aggregates::calls_in(expressions, false).into_iter().map(|function| {
            let name = super::calls::function_name(&function, span)?;
            aggregates::bind(&binder, &name.value.to_ascii_uppercase(), &function, place(name.span, span))
        });
        for draft in all(bound)? {
            if !drafts.iter().any(|known| known.is_same(&draft)) {
                drafts.push(draft);
            }
        }
        let group_span = group_by.first().map_or_else(
            || {
                aggregates::calls_in(
                    items.iter().filter_map(|item| item.expression.as_ref()).chain(&select.having),
                    false,
                )
                .first()
                .map_or(span, |call| place(call.name.span(), span))
            },
            |first| place(first.span(), span),
        );
        let zone = self.session.functions.time_zone.to_string();
        let (rel, positions) = aggregate(&relation, &entries, &drafts, &zone, group_span)?;
        let grouping = Grouping { input, entries, drafts };
        let scope = grouping.output();
        let binder =
            ExpressionBinder { around: span, ..ExpressionBinder::new(self.session, &scope, Place::Grouped(&grouping)) };
        let having = match &select.having {
            Some(condition) => Some(binder.bind_condition(condition, "HAVING")?),
            None => None,
        };
        let rel = match having {
            Some(filter) => {
                let filter = filter.substitute(&|index| Some(column(&rel.schema, *positions.get(index)?)));
                let columns = identity(&rel);
                calc(rel, Some(filter), columns)
            }
            None => rel,
        };
        project(&binder, rel, items, Some(&positions))
    }

    /// `SELECT DISTINCT`: groups by all columns, which can include those of a window.
    fn bind_distinct(&self, relation: Relation, span: Span) -> Result<Relation> {
        let input = Scope::of(&relation);
        let binder = ExpressionBinder::new(self.session, &input, Place::Scalar("SELECT DISTINCT"));
        let entries = relation
            .fields
            .iter()
            .enumerate()
            .map(|(index, field)| {
                let bound = column(&relation.rel.schema, index);
                Entry::new(&binder, bound, field.role, field.name.clone(), span)
            })
            .collect::<Result<Vec<Entry>>>()?;
        let zone = self.session.functions.time_zone.to_string();
        let (rel, positions) = aggregate(&relation, &entries, &[], &zone, span)?;
        let output = Scope { fields: Vec::new(), schema: Arc::clone(&rel.schema) };
        let binder = ExpressionBinder { scope: &output, ..binder };
        let columns = positions
            .iter()
            .zip(&entries)
            .map(|(index, entry)| {
                let expression = entry.value(&binder, column(&rel.schema, *index), span)?;
                Ok(Projection { expression, name: entry.name.clone() })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Relation { rel: calc(rel, None, columns), fields: relation.fields })
    }

    fn bind_factor(&mut self, factor: &TableFactor, around: Surroundings<'_>) -> Result<Relation> {
        let span = place(factor.span(), around.parsed.span);
        match factor {
            TableFactor::Table { name, alias, args, with_hints, version, sample, partitions, index_hints, .. } => {
                if args.is_some() {
                    return Err(Diagnostic::at(span, format!("table function {name} is not supported")));
                }
                if version.is_some() {
                    return Err(Diagnostic::at(span, "FOR SYSTEM_TIME AS OF is not supported yet"));
                }
                if sample.is_some() || !with_hints.is_empty() || !partitions.is_empty() || !index_hints.is_empty() {
                    return Err(Diagnostic::at(span, "hints and samples of a table are not supported"));
                }
                let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
                let relation = self.bind_name(&parts, around, span)?;
                aliased(relation, alias.as_ref())
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                let relation = self.bind_query(subquery, around)?;
                let relation = Relation { fields: unqualified(relation.fields), ..relation };
                aliased(relation, alias.as_ref())
            }
            TableFactor::Derived { .. } => Err(Diagnostic::at(span, "LATERAL is not supported yet")),
            TableFactor::NestedJoin { table_with_joins, alias } => {
                if let Some(join) = table_with_joins.joins.first() {
                    return Err(refuse_join(place(join.relation.span(), span), "JOIN"));
                }
                let relation = self.bind_factor(&table_with_joins.relation, around)?;
                aliased(relation, alias.as_ref())
            }
            TableFactor::UNNEST { .. } => Err(Diagnostic::at(span, "UNNEST is not supported yet")),
            TableFactor::MatchRecognize { .. } => Err(Diagnostic::at(span, "MATCH_RECOGNIZE is not supported yet")),
            TableFactor::TableFunction { .. } | TableFactor::Function { .. } => {
                Err(Diagnostic::at(span, "this table function is not supported")
                    .help("the window functions are TUMBLE, HOP, CUMULATE, SESSION"))
            }
            _ => Err(Diagnostic::at(span, "this form of FROM is not supported")),
        }
    }

    /// The rows of a table, a view, a query of WITH, or a window table function.
    pub(crate) fn bind_name(&mut self, parts: &[Ident], around: Surroundings<'_>, span: Span) -> Result<Relation> {
        if let [name] = parts {
            if let Some(index) = name.value.strip_prefix(PLACEHOLDER) {
                let call = index.parse::<usize>().ok().and_then(|index| around.parsed.windows.get(index));
                let call = call.ok_or_else(|| Diagnostic::at(span, "expected a table"))?;
                return windowing::bind(self, call, around);
            }
            if let Some(relation) = around.with.get(&name.value) {
                self.count_tables(relation.rel.tables().len(), span)?;
                return Ok(relation.clone());
            }
        }
        let catalog = self.catalog;
        let name = catalog.resolve(parts)?;
        match catalog.get(name, span)? {
            Object::Table(table) => {
                self.count_tables(1, span)?;
                catalog.record_use(name, false, span);
                let rel = table.scan(name);
                Ok(Relation { rel, fields: table.fields() }.qualified(name))
            }
            Object::View(view) => {
                if view.depth >= DEPTH_MAX {
                    return Err(Diagnostic::at(span, "views are nested too deeply"));
                }
                let tables = view.relation.rel.tables();
                self.count_tables(tables.len(), span)?;
                tables.iter().for_each(|table| catalog.record_use(table, false, span));
                self.views_below = self.views_below.max(view.depth + 1);
                Ok(view.relation.clone().qualified(name))
            }
        }
    }

    fn count_tables(&mut self, count: usize, span: Span) -> Result<()> {
        self.tables_left = self.tables_left.checked_sub(count).ok_or_else(|| {
            Diagnostic::at(span, format!("the statement reads more than {TABLES_MAX} tables and views"))
        })?;
        Ok(())
    }
}

/// The columns of an operator, unchanged.
pub(crate) fn identity(rel: &Rel) -> Vec<Projection> {
    (0..rel.schema.fields().len())
        .map(|index| Projection {
            expression: column(&rel.schema, index),
            name: rel.schema.field(index).name().clone(),
        })
        .collect()
}

fn alias_hint(error: Diagnostic, expression: &Expr, items: &[Item]) -> Diagnostic {
    match expression {
        Expr::Identifier(name) if items.iter().any(|item| item.name == name.value && item.expression.is_some()) => {
            error.help(format!("`{}` is an alias of SELECT: repeat its expression in GROUP BY", name.value))
        }
        _ => error,
    }
}

fn unqualified(fields: Vec<ScopeField>) -> Vec<ScopeField> {
    fields.into_iter().map(|field| ScopeField { qualifier: None, ..field }).collect()
}

fn aliased(relation: Relation, alias: Option<&TableAlias>) -> Result<Relation> {
    match alias {
        Some(alias) => rename(relation, &alias.name, alias.columns.iter().map(|column| &column.name)),
        None => Ok(relation),
    }
}

/// The relation under another name; with listed `columns`, also its columns under other names.
pub(crate) fn rename<'a>(
    relation: Relation,
    name: &Ident,
    columns: impl ExactSizeIterator<Item = &'a Ident>,
) -> Result<Relation> {
    let mut relation = relation.qualified(&name.value);
    if columns.len() == 0 {
        return Ok(relation);
    }
    if columns.len() != relation.fields.len() {
        return Err(Diagnostic::at(
            name.span,
            format!("'{}' lists {} columns, the query has {}", name.value, columns.len(), relation.fields.len()),
        ));
    }
    for (field, column) in relation.fields.iter_mut().zip(columns) {
        field.name = column.value.clone();
    }
    Ok(relation)
}

/// The place of a node, or of the enclosing one if it has none.
pub(crate) fn place(own: Span, around: Span) -> Span {
    if is_empty(own) { around } else { own }
}

fn refuse_join(span: Span, what: &str) -> Diagnostic {
    Diagnostic::at(span, format!("{what} is not supported yet"))
        .help("a query reads one table, view or window function; UNION ALL combines several")
}

fn refuse_clauses(query: &Query, around: Span) -> Result<()> {
    let refuse = |span: Span, what: &str, help: &str| {
        Err(Diagnostic::at(place(span, around), format!("{what} is not supported")).help(help))
    };
    if let Some(order_by) = &query.order_by {
        return refuse(order_by.span(), "ORDER BY", "a stream has no last row; leave it out");
    }
    if let Some(limit) = &query.limit_clause {
        return refuse(limit.span(), "LIMIT", "use 'scan.bounded.mode' or 'number-of-rows' of the source");
    }
    if query.fetch.is_some() {
        return refuse(around, "FETCH", "use 'scan.bounded.mode' or 'number-of-rows' of the source");
    }
    if !query.locks.is_empty() || query.for_clause.is_some() {
        return refuse(around, "FOR UPDATE or FOR …", "leave it out");
    }
    if query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty() {
        return refuse(around, "SETTINGS, FORMAT or |>", "leave it out");
    }
    Ok(())
}

fn refuse_select_clauses(select: &Select, span: Span) -> Result<()> {
    let refused = [
        (select.top.is_some(), "TOP"),
        (select.into.is_some(), "SELECT … INTO"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.exclude.is_some(), "EXCLUDE"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (select.select_modifiers.is_some(), "a modifier of SELECT"),
        (select.projection.is_empty(), "an empty SELECT list"),
    ];
    match refused.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(Diagnostic::at(span, format!("{what} is not supported"))),
        None => Ok(()),
    }
}

/// NULL of a type as an expression, for a column without a value.
pub(crate) fn null_of(data_type: &arrow::datatypes::DataType) -> Option<super::relation::Expression> {
    Scalar::null(data_type).ok().map(super::relation::Expression::literal)
}
