//! Planning of SQL, with a cache: a reconcile of a job with unchanged SQL costs nothing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use eddyline_plan::{PlanOptions, Script, StateMeaning};
use serde_json::json;

use crate::revision::fingerprint;

/// The number of scripts in the cache.
const REMEMBERED_MAX: usize = 1024;
/// The number of problems shown.
const SHOWN_MAX: usize = 5;

/// A script that plans.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Warnings.
    pub warnings: Vec<String>,
    /// The computations of its operators with state.
    pub state: Arc<[StateMeaning]>,
}

/// The script, or its problems.
pub type Outcome = Result<Planned, String>;

/// Plans SQL, each script once.
#[derive(Debug, Default)]
pub struct Planner {
    remembered: Mutex<Remembered>,
    /// Scripts are planned one at a time: planning needs memory, and the controller's limit is small.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Remembered {
    outcomes: HashMap<String, Outcome>,
    oldest_first: VecDeque<String>,
}

impl Planner {
    /// Plans a script with its settings, on a thread of its own.
    ///
    /// # Errors
    /// The problems, one per line, with line and column.
    pub async fn plan(&self, sql: &str, config: &BTreeMap<String, String>) -> Outcome {
        let key = fingerprint(&json!([sql, config]));
        if let Some(outcome) = self.known(&key) {
            return outcome;
        }
        let _turn = self.turn.lock().await;
        if let Some(outcome) = self.known(&key) {
            return outcome;
        }
        let (sql, config) = (sql.to_owned(), config.clone());
        let planned = tokio::task::spawn_blocking(move || plan(&sql, &config)).await;
        // Planning never panics, and a process that ends plans nothing.
        let outcome = planned.unwrap_or_else(|error| Err(format!("1:1: the SQL could not be planned: {error}")));
        self.remember(key, outcome.clone());
        outcome
    }

    fn known(&self, key: &str) -> Option<Outcome> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).outcomes.get(key).cloned()
    }

    fn remember(&self, key: String, outcome: Outcome) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.oldest_first.len() >= REMEMBERED_MAX
            && let Some(oldest) = remembered.oldest_first.pop_front()
        {
            remembered.outcomes.remove(&oldest);
        }
        remembered.oldest_first.push_back(key.clone());
        remembered.outcomes.insert(key, outcome);
    }
}

fn plan(sql: &str, config: &BTreeMap<String, String>) -> Outcome {
    let script = Script { name: "sql".to_owned(), text: sql.to_owned() };
    let options = PlanOptions { config: config.clone() };
    let shown = |diagnostic: &eddyline_plan::Diagnostic| {
        let help = diagnostic.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{}: {}{help}", diagnostic.line, diagnostic.column, diagnostic.message)
    };
    match eddyline_plan::plan(&script, &options) {
        Ok(planned) => {
            let warnings = planned.warnings.iter().map(shown).collect();
            Ok(Planned { warnings, state: planned.graph.meanings().into() })
        }
        Err(diagnostics) => {
            let mut lines: Vec<String> = diagnostics.0.iter().take(SHOWN_MAX).map(shown).collect();
            if diagnostics.0.len() > SHOWN_MAX {
                lines.push(format!("and {} more", diagnostics.0.len() - SHOWN_MAX));
            }
            Err(lines.join("\n"))
        }
    }
}
