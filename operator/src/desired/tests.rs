use eddyline_crds::savepoint::Origin;
use eddyline_crds::stream_job::{CheckpointStorage, LocalStorage, NameRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::*;
use crate::testing;

fn revision() -> Revision {
    Revision {
        number: 3,
        generation: 7,
        hash: "0123456789abcdef".to_owned(),
        image: "eddyline-worker:1.0".to_owned(),
        from: "s3://bucket/jobs/savepoints/shop.orders/rev-3".to_owned(),
        started_at: Time(testing::start()),
        restored_from: None,
        was_ready: false,
        is_first: false,
    }
}

fn record(job: &StreamJob) -> Record {
    Record {
        spec: job.spec.clone(),
        image: "eddyline-worker:1.0".to_owned(),
        storage: job.spec.checkpoint.storage.clone(),
    }
}

fn with<T>(change: impl FnOnce(&mut StreamJob), act: impl FnOnce(Inputs<'_>) -> T) -> T {
    let mut job = testing::job("orders");
    change(&mut job);
    let (record, revision, settings) = (record(&job), revision(), Settings::of_a_test());
    act(Inputs { job: &job, record: &record, revision: &revision, parallelism: 4, replicas: 1, settings: &settings })
}

fn yaml(value: &impl serde::Serialize) -> String {
    serde_norway::to_string(value).expect("YAML")
}

#[test]
fn the_children_of_a_job() {
    let children = with(|_| {}, Children::of);
    let Children { service_account, service, config_map, network_policy, disruption_budget, stateful_set } = &children;
    insta::assert_snapshot!("service_account", yaml(service_account));
    insta::assert_snapshot!("service", yaml(service));
    insta::assert_snapshot!("config_map", yaml(config_map));
    insta::assert_snapshot!("network_policy", yaml(network_policy));
    insta::assert_snapshot!("disruption_budget", yaml(disruption_budget));
    insta::assert_snapshot!("stateful_set", yaml(stateful_set));
}

#[test]
fn the_batch_jobs_that_delete_data() {
    let keep = ["s3://bucket/jobs/savepoints/shop.orders/by-hand".to_owned()];
    let of_job = with(|_| {}, |inputs| cleanup::of_job(inputs, &keep));
    insta::assert_snapshot!("cleanup_of_a_job", yaml(&of_job));
    let copy = with(|_| {}, |inputs| cleanup::copy_of_job(inputs, "s3://bucket/jobs/savepoints/shop.orders/last"));
    insta::assert_snapshot!("copy_of_a_job", yaml(&copy));
    let origin = Origin {
        image: "eddyline-worker:1.0".to_owned(),
        storage: CheckpointStorage {
            uri: "s3://bucket/jobs".to_owned(),
            endpoint: None,
            secret_ref: Some(NameRef { name: "s3".to_owned() }),
        },
        template: None,
    };
    let savepoint = testing::savepoint("nightly", "orders");
    let of_savepoint = cleanup::of_savepoint(&savepoint, "s3://bucket/s/1", &origin, &Settings::of_a_test());
    insta::assert_snapshot!("cleanup_of_a_savepoint", yaml(&of_savepoint));
}

#[test]
fn batch_jobs_take_the_pod_fields_of_the_template_and_none_of_its_work() {
    let template = json!({
        "metadata": {
            "labels": {"azure.workload.identity/use": "true", "eddyline.io/job": "orders"},
            "annotations": {"sidecar.istio.io/inject": "false"},
        },
        "spec": {
            "serviceAccountName": "with-access", "imagePullSecrets": [{"name": "registry"}],
            "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "team", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}}, "securityContext": {"runAsUser": 1000},
            "initContainers": [{"name": "wait", "image": "busybox"}],
            "volumes": [{"name": "authority", "configMap": {"name": "authority"}}],
            "containers": [
                {"name": "proxy", "image": "proxy:1"},
                {
                    "name": "worker", "command": ["sh"], "args": ["-c"], "ports": [{"containerPort": 1}],
                    "resources": {"requests": {"memory": "16Gi"}},
                    "env": [{"name": "AWS_REGION", "value": "eu-central-1"}],
                    "volumeMounts": [{"name": "authority", "mountPath": "/etc/ssl/certs"}],
                },
            ],
        },
    });
    let origin = Origin {
        image: "eddyline-worker:1.0".to_owned(),
        storage: CheckpointStorage { uri: "s3://bucket/jobs".to_owned(), endpoint: None, secret_ref: None },
        template: Some(template.clone()),
    };
    let of_savepoint =
        cleanup::of_savepoint(&testing::savepoint("nightly", "orders"), "s3://s", &origin, &Settings::of_a_test());
    let change = |job: &mut StreamJob| job.spec.workers.template = Some(template.clone());
    for job in [
        with(change, |inputs| cleanup::of_job(inputs, &[])),
        with(change, |inputs| cleanup::copy_of_job(inputs, "s3://to")),
        of_savepoint,
    ] {
        let template = job.spec.expect("a spec").template;
        let metadata = template.metadata.expect("metadata");
        let labels = metadata.labels.expect("labels");
        assert_eq!(labels["azure.workload.identity/use"], "true");
        assert!(!labels.contains_key(names::JOB_LABEL), "it is no worker");
        assert_eq!(metadata.annotations.expect("annotations")["sidecar.istio.io/inject"], "false");
        let pod = template.spec.expect("a pod");
        assert_eq!(pod.service_account_name.as_deref(), Some("with-access"));
        assert_eq!(pod.image_pull_secrets.expect("secrets")[0].name, "registry");
        assert_eq!(pod.node_selector.expect("a selector")["disk"], "ssd");
        assert_eq!(pod.tolerations.expect("tolerations").len(), 1);
        assert!(pod.affinity.is_some());
        assert_eq!(pod.security_context.and_then(|context| context.run_as_user), Some(1000));
        assert_eq!((pod.init_containers, pod.restart_policy.as_deref()), (None, Some("OnFailure")));
        assert_eq!(pod.containers.len(), 1, "{:?}", pod.containers);
        let container = &pod.containers[0];
        assert_eq!((container.name.as_str(), &container.command), ("cleanup", &None));
        assert_ne!(container.args.as_deref(), Some(["-c".to_owned()].as_slice()));
        assert!(container.ports.is_none());
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref()).expect("limits");
        assert_eq!(limits.keys().collect::<Vec<_>>(), ["cpu", "memory"], "a quota may ask for each");
        assert!(container.env.iter().flatten().any(|variable| variable.name == "AWS_REGION"));
        assert!(container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == "/etc/ssl/certs"));
    }
}

#[test]
fn secrets_of_the_sql_are_mounted_and_nowhere_spelled_out() {
    let sql = "-- ${secret:kafka-creds/password} ${secret:kafka-creds/user} ${secret:registry/token}";
    let children = with(|job| job.spec.sql = Some(sql.to_owned()), Children::of);
    let pod = children.stateful_set.spec.template.spec.expect("a pod");
    let mounted: Vec<_> = pod.containers[0]
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| mount.mount_path.as_str())
        .filter(|path| path.starts_with(eddyline_api::mounts::SECRETS))
        .collect();
    assert_eq!(mounted, ["/etc/eddyline/secrets/kafka-creds", "/etc/eddyline/secrets/registry"]);
    let secrets: Vec<_> =
        pod.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref()?.secret_name.as_deref()).collect();
    assert_eq!(secrets, ["orders-identity", "kafka-creds", "registry", "s3"]);
}

#[test]
fn the_key_of_the_authority_is_not_mounted() {
    let children = with(|_| {}, Children::of);
    let pod = children.stateful_set.spec.template.spec.expect("a pod");
    let volume = pod.volumes.iter().flatten().find(|volume| volume.name == "identity").expect("a volume");
    let files: Vec<_> =
        volume.secret.iter().flat_map(|s| s.items.iter().flatten()).map(|item| item.key.as_str()).collect();
    assert_eq!(files, ["ca.crt", "tls.crt", "tls.key"]);
}

#[test]
fn a_template_is_merged_and_cannot_take_the_labels_away() {
    let template = json!({
        "metadata": {"labels": {"team": "growth", "eddyline.io/job": "another"}, "annotations": {"a": "b"}},
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "containers": [
                {"name": "worker", "env": [{"name": "RUST_LOG", "value": "debug"}]},
                {"name": "proxy", "image": "proxy:1"},
            ],
            "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
        },
    });
    let children = with(|job| job.spec.workers.template = Some(template), Children::of);
    let template = children.stateful_set.spec.template;
    let metadata = template.metadata.expect("metadata");
    let labels = metadata.labels.expect("labels");
    assert_eq!((labels["team"].as_str(), labels["eddyline.io/job"].as_str()), ("growth", "orders"));
    let annotations = metadata.annotations.expect("annotations");
    assert_eq!((annotations["a"].as_str(), annotations["eddyline.io/revision"].as_str()), ("b", "3"));
    let pod = template.spec.expect("a pod");
    let names: Vec<_> = pod.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["worker", "proxy"]);
    let worker = &pod.containers[0];
    assert_eq!(worker.image.as_deref(), Some("eddyline-worker:1.0"));
    let log = worker.env.iter().flatten().find(|variable| variable.name == "RUST_LOG").and_then(|v| v.value.as_deref());
    assert_eq!(log, Some("debug"));
    let data: Vec<_> = pod.volumes.iter().flatten().filter(|volume| volume.name == "data").collect();
    assert_eq!(data.len(), 1);
    assert!(data[0].empty_dir.as_ref().is_some_and(|volume| volume.size_limit.is_some()));
}

#[test]
fn a_worker_knows_how_long_its_pod_has_to_end() {
    let period = |template: serde_json::Value| {
        let children = with(|job| job.spec.workers.template = Some(template), Children::of);
        let pod = children.stateful_set.spec.template.spec.expect("a pod");
        let variables = pod.containers[0].env.clone().unwrap_or_default();
        variables.into_iter().find(|variable| variable.name == eddyline_api::mounts::GRACE_PERIOD)?.value
    };
    assert_eq!(period(json!({"spec": {"terminationGracePeriodSeconds": 120}})).as_deref(), Some("120"));
    // Kubernetes' own default is the worker's too.
    assert_eq!(period(json!({"spec": {}})), None);
}

#[test]
fn local_storage_comes_and_goes_with_the_pod() {
    let storage = LocalStorage { size: "5Gi".to_owned(), storage_class_name: Some("fast".to_owned()) };
    let children = with(|job| job.spec.workers.storage = Some(storage), Children::of);
    let spec = children.stateful_set.spec;
    assert_eq!(spec.volume_claim_templates, None, "a claim of the StatefulSet outlives pods, sizes and the job");
    let volumes = spec.template.spec.and_then(|pod| pod.volumes).expect("volumes");
    let data: Vec<_> = volumes.iter().filter(|volume| volume.name == "data").collect();
    assert_eq!(data.len(), 1);
    let claim = data[0].ephemeral.as_ref().and_then(|volume| volume.volume_claim_template.as_ref()).expect("a claim");
    let requests = claim.spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()).expect("requests");
    assert_eq!(requests["storage"].0, "5Gi");
    assert_eq!(claim.spec.storage_class_name.as_deref(), Some("fast"));
}

#[test]
fn a_worker_keeps_copies_only_on_a_volume_of_its_own_and_knows_its_size() {
    let bytes = |storage: Option<LocalStorage>| {
        let children = with(|job| job.spec.workers.storage = storage, Children::of);
        let data = children.config_map.data.expect("data");
        let config: eddyline_api::WorkerConfig = serde_json::from_str(&data["worker.json"]).expect("a config");
        config.local_storage.map(|volume| volume.bytes)
    };
    assert_eq!(bytes(None), None);
    let storage = |size: &str| Some(LocalStorage { size: size.to_owned(), storage_class_name: None });
    assert_eq!((bytes(storage("5Gi")), bytes(storage("1.5G"))), (Some(5 << 30), Some(1_500_000_000)));
    // Manifests of earlier releases have only the size.
    let read: LocalStorage = serde_json::from_value(json!({"size": "10Gi"})).expect("a volume");
    assert_eq!(Some(read), storage("10Gi"));
}

#[test]
fn the_record_of_a_revision_is_read_back_with_the_parallelism_of_now() {
    let job = testing::job("orders");
    let written = with(|_| {}, Children::of).config_map;
    let mut expected = record(&job);
    expected.spec.parallelism = 4;
    assert_eq!(config_map::record(&written).as_ref(), Some(&expected));
    let data = written.data.clone().expect("data");
    let with_sql = data.values().filter(|value| value.contains("INSERT INTO")).count();
    assert_eq!(with_sql, 1, "a ConfigMap has room for 1 MiB");
    let mut of_before = written;
    of_before.data.get_or_insert_default().insert("spec.json".to_owned(), json!(expected).to_string());
    assert_eq!(config_map::record(&of_before), Some(expected), "one that an earlier version has written");
}

#[test]
fn the_same_job_gives_the_same_children() {
    let (one, two) = (with(|_| {}, Children::of), with(|_| {}, Children::of));
    assert_eq!(one.fingerprint(), two.fingerprint());
    let other = with(|job| job.spec.workers.version = "2".to_owned(), Children::of);
    assert_ne!(one.fingerprint(), other.fingerprint(), "the record differs");
}
