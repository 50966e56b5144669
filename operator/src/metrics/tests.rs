use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::Value;

use super::*;
use crate::testing;

fn status(phase: Phase, ready: &str, restarts: u64) -> StreamJobStatus {
    let ready = Condition {
        type_: "Ready".to_owned(),
        status: ready.to_owned(),
        reason: "Starting".to_owned(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(testing::start()),
    };
    StreamJobStatus { phase, restarts, conditions: vec![ready], ..StreamJobStatus::default() }
}

#[test]
fn what_was_counted_is_in_the_text() {
    let metrics = Metrics::new().expect("metrics");
    metrics.reconciled("StreamJob", true, Duration::from_millis(3));
    metrics.worker_call_failed("status");
    let text = metrics.text().expect("text");
    assert!(text.contains("eddyline_operator_reconciles_total{kind=\"StreamJob\",result=\"ok\"} 1"), "{text}");
    assert!(text.contains("eddyline_operator_worker_failures_total{request=\"status\"} 1"), "{text}");
}

#[test]
fn a_job_is_exported_as_it_is_now_and_not_at_all_once_it_is_gone() {
    let metrics = Metrics::new().expect("metrics");
    metrics.job_seen("shop", "a", &status(Phase::Starting, "False", 0));
    metrics.job_seen("shop", "a", &status(Phase::Running, "True", 2));
    metrics.job_seen("shop", "b", &status(Phase::Failed, "False", 7));
    let has = |line: &str| metrics.text().expect("text").lines().any(|known| known == line);
    let ready = |job: &str, status: &str| {
        format!(
            "eddyline_streamjob_condition{{namespace=\"shop\",status=\"{status}\",streamjob=\"{job}\",type=\"Ready\"}} 1"
        )
    };
    assert!(has(&ready("a", "True")) && !has(&ready("a", "False")) && has(&ready("b", "False")));
    assert!(has("eddyline_operator_jobs{phase=\"Running\"} 1") && has("eddyline_operator_jobs{phase=\"Starting\"} 0"));
    assert!(has("eddyline_streamjob_restarts{namespace=\"shop\",streamjob=\"a\"} 2"));

    metrics.job_gone("shop", "b");
    metrics.job_gone("shop", "b");
    assert!(has("eddyline_operator_jobs{phase=\"Failed\"} 0"), "{}", metrics.text().expect("text"));
    assert!(!metrics.text().expect("text").contains("streamjob=\"b\""));

    metrics.jobs_left(Some("elsewhere"), |_, _| false);
    assert!(has(&ready("a", "True")), "another namespace says nothing about this one");
    metrics.jobs_left(None, |_, _| false);
    assert!(!metrics.text().expect("text").contains("streamjob="));

    metrics.job_seen("shop", "a", &status(Phase::Running, "True", 2));
    metrics.set_leader(false);
    let text = metrics.text().expect("text");
    assert!(!text.contains("eddyline_operator_jobs{") && !text.contains("streamjob="), "a replica that does not lead");
}

/// The names of metrics in an expression.
fn names_in(expression: &str) -> Vec<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("eddyline_")).map(str::to_owned).collect()
}

/// All expressions below a value, by the key that holds them.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let ("expr" | "query" | "definition", Some(text)) = (key.as_str(), value.as_str()) {
                    found.push(text.to_owned());
                }
                expressions(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn every_metric_that_an_alert_or_the_dashboard_reads_is_exported() {
    let alerts: Value =
        serde_norway::from_str(include_str!("../../../charts/eddyline/files/alerts.yaml")).expect("YAML");
    let dashboard: Value =
        serde_json::from_str(include_str!("../../../charts/eddyline/files/dashboard.json")).expect("JSON");
    let mut read = Vec::new();
    expressions(&alerts, &mut read);
    let of_alerts = read.len();
    expressions(&dashboard, &mut read);
    assert!(of_alerts >= 8 && read.len() > of_alerts, "{read:?}");
    let metrics = Metrics::new().expect("metrics");
    metrics.reconciled("StreamJob", true, Duration::ZERO);
    metrics.worker_call_failed("status");
    metrics.set_leader(true);
    metrics.job_seen("shop", "a", &status(Phase::Running, "True", 0));
    let own = metrics.text().expect("text");
    let of_workers = include_str!("../../../worker/src/metrics_server.rs");
    for name in read.iter().flat_map(|expression| names_in(expression)) {
        let series = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
        let is_own = own.lines().any(|line| line.starts_with(&format!("# TYPE {series} ")));
        let is_of_workers = of_workers.contains(&format!("\"{name}\""));
        assert!(is_own || is_of_workers, "nothing exports {name}");
    }
}

#[test]
fn a_job_that_never_comes_up_is_paged_for_by_what_the_controller_alone_knows() {
    let alerts: Value =
        serde_norway::from_str(include_str!("../../../charts/eddyline/files/alerts.yaml")).expect("YAML");
    let rules =
        || alerts.as_array().into_iter().flatten().flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let expression = |name: &str| {
        let rule = rules().find(|rule| rule["alert"] == name).unwrap_or_else(|| panic!("no alert {name}"));
        rule["expr"].as_str().expect("an expression").to_owned()
    };
    let not_ready = expression("EddylineJobNotReady");
    assert_eq!(names_in(&not_ready), ["eddyline_streamjob_condition"]);
    assert!(not_ready.contains("type=\"Ready\"") && not_ready.contains("status!=\"True\""), "{not_ready}");
    assert_eq!(names_in(&expression("EddylineJobRestarts")), ["eddyline_streamjob_restarts"]);
    for alert in ["EddylineJobNotReady", "EddylineJobRestarts"] {
        assert!(expression(alert).contains("by (namespace, streamjob)"), "of all replicas, one says it: {alert}");
    }
}
