use eddyline_crds::StreamJob;
use serde_json::json;

use super::*;
use crate::testing;

async fn judged(change: impl FnOnce(&mut StreamJob)) -> Verdict {
    let mut job = testing::job("orders");
    change(&mut job);
    let mut seen = testing::observed(job);
    if let Some(sql) = &seen.job.spec.sql {
        seen.sql = Sql::Text(sql.clone());
    }
    validate(&seen, &Settings::of_a_test(), &Planner::default()).await
}

fn rejection(verdict: Verdict) -> Rejection {
    match verdict {
        Verdict::Rejected(rejection) => rejection,
        Verdict::Accepted(accepted) => panic!("accepted: {accepted:?}"),
    }
}

#[tokio::test]
async fn a_good_spec_is_accepted_with_everything_resolved() {
    let verdict = judged(|job| job.spec.workers.version = "1.2".to_owned()).await;
    let accepted = verdict.accepted().expect("accepted");
    assert_eq!(accepted.record.image, "eddyline-worker:1.2");
    assert_eq!(accepted.record.sql(), testing::SQL);
    assert_eq!(accepted.hash, accepted.record.hash());
    assert!(accepted.warnings.is_empty(), "{:?}", accepted.warnings);
}

#[tokio::test]
async fn what_is_wrong_with_the_sql_is_named_by_line_and_column() {
    for (sql, place) in [
        ("SELEC 1", "1:1: "),
        (&testing::SQL.replace("SELECT n FROM", "SELECT m FROM"), "3:24: "),
        (&testing::SQL.replace("'datagen'", "'dategen'"), "1:"),
        (&testing::SQL.replace("'10'", "'${secret:oops}'"), "1:"),
    ] {
        let rejection = rejection(judged(|job| job.spec.sql = Some(sql.to_owned())).await);
        assert_eq!(rejection.reason, Reason::SqlInvalid);
        assert!(rejection.message.starts_with(place), "{}", rejection.message);
    }
}

#[tokio::test]
async fn an_unknown_setting_is_a_warning_and_not_ignored_silently() {
    let verdict = judged(|job| {
        job.spec.config.insert("table.exec.source.idle-timeot".to_owned(), "10 s".to_owned());
    })
    .await;
    let warnings = &verdict.accepted().expect("accepted").warnings;
    assert!(warnings.iter().any(|warning| warning.contains("table.exec.source.idle-timeot")), "{warnings:?}");
}

#[tokio::test]
async fn a_job_without_storage_gets_the_default_one_or_a_warning() {
    let verdict = judged(|job| job.spec.checkpoint.storage = None).await;
    let without = verdict.accepted().expect("accepted").clone();
    assert_eq!(without.warnings, [NO_STORAGE]);
    let mut job = testing::job("orders");
    let storage = job.spec.checkpoint.storage.take();
    let settings = Settings { default_storage: storage.clone(), ..Settings::of_a_test() };
    let verdict = validate(&testing::observed(job), &settings, &Planner::default()).await;
    let with = verdict.accepted().expect("accepted").clone();
    assert_eq!(with.record.storage, storage);
    assert!(with.warnings.is_empty());
    assert_eq!(with.hash, without.hash, "the controller's default is no part of the spec");
}

#[tokio::test]
async fn a_field_that_cannot_be_used_is_named() {
    type Change = fn(&mut StreamJob);
    let cases: [(Change, Reason, &str); 7] = [
        (|job| job.metadata.name = Some("1st".to_owned()), Reason::SpecInvalid, "'1st'"),
        (|job| job.spec.parallelism = 129, Reason::SpecInvalid, "parallelism 129"),
        (
            |job| job.spec.workers.template = Some(json!({"spec": {"containers": "none"}})),
            Reason::SpecInvalid,
            "template",
        ),
        (|job| job.spec.savepoints.schedule = Some("hourly or so".to_owned()), Reason::SpecInvalid, "hourly or so"),
        (
            |job| {
                job.spec.restore_from.uri = Some("s3://a".to_owned());
                job.spec.restore_from.savepoint_ref = Some(eddyline_crds::stream_job::NameRef { name: "a".to_owned() });
            },
            Reason::SpecInvalid,
            "restoreFrom",
        ),
        (|job| job.spec.workers.slots = 1, Reason::NotYetSupported, "2 workers"),
        (|job| job.spec.sql = None, Reason::SpecInvalid, "sql"),
    ];
    for (change, reason, word) in cases {
        let rejection = rejection(judged(change).await);
        assert_eq!(rejection.reason, reason, "{}", rejection.message);
        assert!(rejection.message.contains(word), "{}", rejection.message);
    }
}

#[tokio::test]
async fn sql_that_is_not_there_is_missed_by_name() {
    let mut job = testing::job("orders");
    job.spec.sql = None;
    job.spec.sql_from = serde_json::from_value(json!({"configMapKeyRef": {"name": "queries", "key": "a"}})).ok();
    let mut seen = testing::observed(job);
    seen.sql = Sql::Missing("there is no ConfigMap queries".to_owned());
    let rejection = rejection(validate(&seen, &Settings::of_a_test(), &Planner::default()).await);
    assert_eq!((rejection.reason, rejection.message.as_str()), (Reason::SqlNotFound, "there is no ConfigMap queries"));
}

#[tokio::test]
async fn misspelt_fields_of_a_pod_template_are_named() {
    let right = json!({
        "metadata": {"labels": {"any": "label"}, "annotations": {}, "creationTimestamp": null},
        "spec": {
            "nodeSelector": {"any": "node"}, "volumes": [{"name": "cache", "emptyDir": {}}],
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "containers": [{
                "name": "worker",
                "resources": {"limits": {"cpu": 2, "memory": "1Gi"}},
                "livenessProbe": {"httpGet": {"path": "/", "port": 8080}},
                "env": [{"name": "A", "value": ""}],
            }],
        },
    });
    assert!(judged(|job| job.spec.workers.template = Some(right)).await.accepted().is_some());
    let wrong = json!({
        "spec": {"nodeSelectr": {"disk": "ssd"}, "containers": [{"name": "worker", "resources": {"limit": {"cpu": 1}}}]},
    });
    let said = rejection(judged(|job| job.spec.workers.template = Some(wrong)).await);
    assert_eq!(said.reason, Reason::SpecInvalid);
    assert!(said.message.contains("workers.template.spec.nodeSelectr"), "{}", said.message);
    assert!(said.message.contains("workers.template.spec.containers[0].resources.limit"), "{}", said.message);
}

#[tokio::test]
async fn sql_that_fits_no_config_map_is_refused_by_its_size() {
    let said =
        rejection(judged(|job| job.spec.sql = Some(format!("{}-- {}", testing::SQL, "x".repeat(800 * 1024)))).await);
    assert!(said.message.contains("at most 786432 fit"), "{}", said.message);
}

/// A job that runs `testing::SQL` and is to run `sql`; `change` says what has become of its revision.
async fn edited(sql: &str, change: impl FnOnce(&mut Observed)) -> Verdict {
    let mut job = testing::job("orders");
    let record =
        Record { spec: job.spec.clone(), image: "w:1".to_owned(), storage: job.spec.checkpoint.storage.clone() };
    let revision = eddyline_crds::status::Revision {
        number: 1,
        generation: 1,
        hash: record.hash(),
        image: "w:1".to_owned(),
        from: "empty".to_owned(),
        started_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(testing::start()),
        restored_from: None,
        was_ready: true,
        is_first: true,
    };
    job.spec.sql = Some(sql.to_owned());
    job.status = Some(eddyline_crds::StreamJobStatus { revision: Some(revision), ..Default::default() });
    let mut seen = testing::observed(job);
    seen.record = Some(std::sync::Arc::new(record));
    change(&mut seen);
    validate(&seen, &Settings::of_a_test(), &Planner::default()).await
}

#[tokio::test]
async fn another_source_is_refused_while_there_are_positions_in_the_first_one() {
    let other = testing::SQL.replace("numbers", "figures");
    let rejection = rejection(edited(&other, |_| {}).await);
    assert_eq!(rejection.reason, Reason::StateIncompatible);
    for words in ["operator source/numbers", "table: numbers -> figures", "[source/numbers]"] {
        assert!(rejection.message.contains(words), "{words} is not in {}", rejection.message);
    }
    let faster = testing::SQL.replace("'10'", "'20'");
    assert!(edited(&faster, |_| {}).await.accepted().is_some(), "how fast rows come does not matter");
    assert!(edited(testing::SQL, |_| {}).await.accepted().is_some());
}

#[tokio::test]
async fn a_revision_that_has_left_no_state_stands_against_nothing() {
    let other = testing::SQL.replace("numbers", "figures");
    let never_ready = |seen: &mut Observed| {
        let job = std::sync::Arc::make_mut(&mut seen.job);
        if let Some(revision) = job.status.as_mut().and_then(|status| status.revision.as_mut()) {
            revision.was_ready = false;
        }
    };
    assert!(edited(&other, never_ready).await.accepted().is_some());
    let without_storage = |seen: &mut Observed| {
        let record = seen.record.as_ref().map(|record| Record { storage: None, ..Record::clone(record) });
        seen.record = record.map(std::sync::Arc::new);
    };
    assert!(edited(&other, without_storage).await.accepted().is_some());
}

#[tokio::test]
async fn state_may_be_left_behind_by_name_or_altogether() {
    let other = testing::SQL.replace("numbers", "figures");
    let change = async |change: fn(&mut eddyline_crds::stream_job::Upgrade)| {
        edited(&other, |seen| change(&mut std::sync::Arc::make_mut(&mut seen.job).spec.upgrade)).await
    };
    let named = change(|upgrade| upgrade.allow_non_restored_state = vec!["source/numbers".to_owned()]).await;
    assert!(named.accepted().is_some());
    let another = change(|upgrade| upgrade.allow_non_restored_state = vec!["source/letters".to_owned()]).await;
    assert!(another.accepted().is_none());
    let stateless = change(|upgrade| upgrade.mode = eddyline_crds::stream_job::UpgradeMode::Stateless).await;
    assert!(stateless.accepted().is_some());
}
