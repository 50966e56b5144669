//! Plans a script: binds it statement by statement, then rewrites and builds all INSERTs together.

use std::collections::BTreeSet;

use eddyline_job_graph::Settings;

use crate::bind::catalog::{Catalog, Object, Use, View};
use crate::bind::insert::{self, BoundInsert};
use crate::bind::query::{QueryBinder, rename};
use crate::bind::session::Session;
use crate::bind::tables;
use crate::diagnostics::{Diagnostic, Result, point};
use crate::parse::ddl;
use crate::parse::statements::{self, Drop, Statement};
use crate::settings::{self, Origin};
use crate::{Diagnostics, PlanOptions, Planned, Script, build, rewrite};

/// Plans a script. The caller provides a stack that is large enough for the limits of the binder.
pub(crate) fn plan(script: &Script, options: &PlanOptions) -> std::result::Result<Planned, Diagnostics> {
    let parsed = statements::parse(script);
    let mut planner = Planner {
        settings: Settings::default(),
        catalog: Catalog::default(),
        inserts: Vec::new(),
        checked: BTreeSet::new(),
        errors: parsed.diagnostics,
        warnings: Vec::new(),
    };
    for name in &parsed.failed {
        planner.catalog.add_failed(name);
    }
    for (key, value) in &options.config {
        planner.set(key, value, Origin::config());
    }
    let configured = planner.settings.clone();
    for statement in parsed.statements {
        if let Err(error) = planner.statement(statement, &configured, options) {
            planner.errors.extend(error.each());
        }
    }
    planner.finish()
}

struct Planner {
    settings: Settings,
    catalog: Catalog,
    inserts: Vec<BoundInsert>,
    /// The tables whose options were checked, and whether for writing (`true`) or reading.
    checked: BTreeSet<(String, bool)>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Planner {
    fn statement(&mut self, statement: Statement, configured: &Settings, options: &PlanOptions) -> Result<()> {
        match statement {
            Statement::Set(option) => {
                let origin = Origin { key: option.key_span, value: option.value_span };
                self.set(&option.key, &option.value, origin);
                Ok(())
            }
            Statement::Reset(None) => {
                self.settings = configured.clone();
                Ok(())
            }
            Statement::Reset(Some(key)) => {
                self.reset(&key, options);
                Ok(())
            }
            Statement::CreateTable(definition) => self.create_table(*definition),
            Statement::CreateView(definition) => self.create_view(*definition),
            Statement::Drop(drop) => self.drop_object(&drop),
            Statement::Insert(insert) => {
                // Discards what CREATE VIEW has read so far: a view's tables count where an INSERT uses the view.
                let _of_views = self.catalog.take_uses();
                let bound = insert::bind(&self.session(), &self.catalog, &insert);
                self.check_options();
                self.inserts.push(bound?);
                Ok(())
            }
        }
    }

    /// Checks the options of the tables that an INSERT uses, each table once for reading and once for writing.
    fn check_options(&mut self) {
        for Use { table, writes, span } in self.catalog.take_uses() {
            if let Ok(found) = self.catalog.table(&table, span)
                && self.checked.insert((table, writes))
            {
                self.errors.extend(found.option_errors(writes, span));
            }
        }
    }

    /// The session with the settings of the statements so far.
    fn session(&self) -> Session {
        Session::new(&self.settings)
    }

    fn set(&mut self, key: &str, value: &str, origin: Origin) {
        match settings::apply(&mut self.settings, key, value, origin) {
            Ok(warning) => self.warnings.extend(warning),
            Err(error) => self.errors.push(error),
        }
    }

    /// Sets a key to its value without SET: that of the configuration, or the default.
    fn reset(&mut self, key: &str, options: &PlanOptions) {
        let default = Settings::default();
        let target = &mut self.settings;
        match key {
            "pipeline.name" => target.name = default.name,
            "parallelism.default" | "table.exec.resource.default-parallelism" => {
                target.parallelism = default.parallelism
            }
            "pipeline.max-parallelism" => target.max_parallelism = default.max_parallelism,
            "execution.checkpointing.interval" => target.checkpoint_interval = default.checkpoint_interval,
            "execution.checkpointing.timeout" => target.checkpoint_timeout = default.checkpoint_timeout,
            "execution.checkpointing.dir" | "state.checkpoints.dir" => target.checkpoint_dir = default.checkpoint_dir,
            "state.checkpoints.num-retained" | "execution.checkpointing.num-retained" => {
                target.checkpoints_retained = default.checkpoints_retained;
            }
            "execution.buffer-timeout.interval" => target.buffer_timeout.interval = default.buffer_timeout.interval,
            "execution.buffer-timeout.enabled" => target.buffer_timeout.is_enabled = default.buffer_timeout.is_enabled,
            "table.exec.source.idle-timeout" => target.source_idle_timeout = default.source_idle_timeout,
            "table.local-time-zone" => target.local_time_zone = default.local_time_zone,
            "table.optimizer.reuse-sub-plan-enabled" => target.reuse_sub_plans = default.reuse_sub_plans,
            "table.optimizer.reuse-source-enabled" => target.reuse_sources = default.reuse_sources,
            "table.exec.sink.not-null-enforcer" => {
                target.sink_constraints.not_null = default.sink_constraints.not_null;
            }
            "table.exec.sink.type-length-enforcer" => {
                target.sink_constraints.type_length = default.sink_constraints.type_length;
            }
            "table.exec.sink.nested-constraint-enforcer" => {
                target.sink_constraints.nested = default.sink_constraints.nested;
            }
            _ => {}
        }
        if let Some(value) = options.config.get(key) {
            self.set(key, value, Origin::config());
        }
    }

    fn create_table(&mut self, definition: ddl::CreateTable) -> Result<()> {
        let Some(last) = definition.name.last().cloned() else { return Ok(()) };
        let name = self.catalog.resolve(&definition.name)?.to_owned();
        if self.catalog.contains(&name) {
            return if definition.if_not_exists { Ok(()) } else { Err(exists(&name, last.span)) };
        }
        match tables::bind(&self.session(), &self.catalog, definition) {
            Ok(table) => {
                self.catalog.add(&name, Object::Table(Box::new(table)));
                Ok(())
            }
            Err(error) => {
                self.catalog.add_failed(&name);
                Err(error)
            }
        }
    }

    fn create_view(&mut self, definition: ddl::CreateView) -> Result<()> {
        let Some(last) = definition.name.last().cloned() else { return Ok(()) };
        let name = self.catalog.resolve(&definition.name)?.to_owned();
        if self.catalog.contains(&name) {
            return if definition.if_not_exists { Ok(()) } else { Err(exists(&name, last.span)) };
        }
        let session = self.session();
        let mut binder = QueryBinder::new(&session, &self.catalog);
        let bound =
            binder.bind(&definition.query).and_then(|relation| rename(relation, &last, definition.columns.iter()));
        let depth = binder.views_below;
        match bound {
            Ok(relation) => {
                self.catalog.add(&name, Object::View(Box::new(View { relation, depth })));
                Ok(())
            }
            Err(error) => {
                self.catalog.add_failed(&name);
                Err(error)
            }
        }
    }

    fn drop_object(&mut self, drop: &Drop) -> Result<()> {
        let name = self.catalog.resolve(&drop.name)?.to_owned();
        let span = drop.name.last().map_or(point(1, 1), |name| name.span);
        if !self.catalog.contains(&name) {
            if drop.if_exists || self.catalog.has_failed(&name) {
                self.catalog.remove(&name);
                return Ok(());
            }
            return self.catalog.get(&name, span).map(|_| ());
        }
        let is_view = matches!(self.catalog.get(&name, span)?, Object::View(_));
        if is_view != drop.view {
            let (is, other) = if is_view { ("view", "DROP VIEW") } else { ("table", "DROP TABLE") };
            return Err(Diagnostic::at(span, format!("'{name}' is a {is}")).help(format!("use {other}")));
        }
        if !is_view
            && self.inserts.iter().any(|insert| insert.table == name || insert.rel.tables().contains(&name.as_str()))
        {
            return Err(Diagnostic::at(span, format!("'{name}' is used by an earlier INSERT"))
                .help("all INSERTs of a script run as one job: leave the DROP out"));
        }
        self.catalog.remove(&name);
        self.checked.retain(|(table, _)| *table != name);
        Ok(())
    }

    fn finish(mut self) -> std::result::Result<Planned, Diagnostics> {
        if self.errors.is_empty() && self.inserts.is_empty() {
            self.errors.push(
                Diagnostic::at(point(1, 1), "the script has no INSERT INTO: there is nothing to run")
                    .help("add INSERT INTO a table SELECT … FROM a table"),
            );
        }
        let graph = if self.errors.is_empty() {
            let rewritten = rewrite::rewrite(std::mem::take(&mut self.inserts));
            build::build(&self.catalog, rewritten, self.settings.clone())
                .map_err(|error| self.errors.extend(error.each()))
                .ok()
        } else {
            None
        };
        match graph {
            Some(graph) => Ok(Planned { graph, warnings: self.warnings }),
            None => {
                self.errors.retain(|error| !error.consequence);
                self.errors.sort_by_key(|error| (error.line, error.column));
                Err(Diagnostics(self.errors))
            }
        }
    }
}

fn exists(name: &str, span: sqlparser::tokenizer::Span) -> Diagnostic {
    Diagnostic::at(span, format!("table or view '{name}' already exists"))
        .help("choose another name, or use IF NOT EXISTS")
}
