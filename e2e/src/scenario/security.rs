//! Requests that must be refused.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::job::Place;
use crate::kubectl::{run as program, until};

/// Specs that the API server must refuse, with its messages.
const REFUSED: [(&str, &str); 6] = [
    (r#"{"parallelism":1}"#, "exactly one of sql and sqlFrom"),
    (r#"{"sql":"x","sqlFrom":{"configMapKeyRef":{"name":"a","key":"b"}}}"#, "exactly one of sql and sqlFrom"),
    (r#"{"sql":"x","parallelism":9,"maxParallelism":8}"#, "parallelism must not be greater"),
    (r#"{"sql":"x","maxParallelism":100}"#, "power of two"),
    (r#"{"sql":"x","checkpoint":{"interval":"5ms"}}"#, "at least 100ms"),
    (r#"{"sql":"x","restoreFrom":{"uri":"s3://a/b","savepointRef":{"name":"c"}}}"#, "not both"),
];

/// Rules of the custom resource, and of the API of a worker.
pub fn run() -> Result<()> {
    let place = Place::new("security")?;
    for (spec, reason) in REFUSED {
        let spec: Value = serde_json::from_str(spec)?;
        let object = json!({
            "apiVersion": "eddyline.io/v1alpha1", "kind": "StreamJob", "metadata": { "name": "refused" }, "spec": spec,
        });
        let said = place.namespace.refused(&["apply", "-f", "-"], Some(&object.to_string()))?;
        ensure!(said.contains(reason), "{object} should be refused because of '{reason}': {said}");
    }
    println!("   {} invalid specs refused by the API server", REFUSED.len());

    let (mut one, other) = (place.sensors("one", |_| ())?, place.sensors("other", |_| ())?);
    one.apply()?;
    other.apply()?;
    one.wait_ready()?;
    other.wait_ready()?;
    one.manifest["spec"]["maxParallelism"] = json!(512);
    let said = place.namespace.refused(&["apply", "-f", "-"], Some(&one.manifest.to_string()))?;
    ensure!(said.contains("maxParallelism is fixed"), "{said}");

    // The other job's pod has a certificate, but not of this job's authority.
    let address = place.namespace.get("pod", &one.pod())?.context("the pod")?["status"]["podIP"].take();
    let address = address.as_str().context("the pod has an address")?;
    let folder = std::env::temp_dir().join(format!("eddyline-e2e-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let identity = |job: &str| -> Result<String> {
        let path = folder.join(format!("{job}.pem"));
        let secret = place.namespace.get("secret", &format!("{job}-identity"))?.context("the identity")?;
        let mut pem = String::new();
        for key in ["client.crt", "client.key"] {
            let encoded = secret["data"][key].as_str().with_context(|| format!("{job}-identity has no {key}"))?;
            pem += &decode(encoded)?;
        }
        std::fs::write(&path, pem)?;
        Ok(path.display().to_string())
    };
    let url = format!("https://{address}:8443/api/v1/job");
    let ask = |certificate: &[&str]| {
        program(
            "curl",
            &[&["-sk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}"], certificate, &[&url]].concat(),
        )
    };
    let (own, foreign) = (identity("one")?, identity("other")?);
    let answers = (ask(&["--cert", &own]), ask(&["--cert", &foreign]), ask(&[]));
    std::fs::remove_dir_all(&folder)?;
    ensure!(answers.0.as_deref().is_ok_and(|code| code == "200"), "its own controller is served: {:?}", answers.0);
    ensure!(answers.1.is_err() && answers.2.is_err(), "strangers are served: {:?}", answers);
    println!("   the API of a worker refuses the certificate of another job, and none at all");

    let secret = place.namespace.get("secret", "one-identity")?.context("the identity")?;
    let pod = place.namespace.get("pod", &one.pod())?.context("the pod")?;
    ensure!(!pod.to_string().contains("ca.key"), "the key of the authority is in the pod");
    ensure!(secret["data"]["ca.key"].is_string(), "{:?}", secret["data"]);
    until("nothing is refused by Pod Security", std::time::Duration::from_secs(5), || {
        let events: Vec<_> = place.namespace.events("one-worker")?;
        Ok(events.iter().all(|(reason, _)| reason != "FailedCreate").then_some(()))
    })
}

fn decode(text: &str) -> Result<String> {
    Ok(String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text)?)?)
}
