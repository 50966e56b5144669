//! The actions of others in a world while the controller waits: StatefulSets get pods, pods start workers, batch jobs
//! end, objects without an owner are deleted.

use std::time::Duration;

use eddyline_api::{WorkerConfig, mounts};
use serde_json::{Value, json};

use super::objects::FOREGROUND;
use super::workers::Worker;
use super::world::{BATCH, CONFIG_MAPS, EVENTS, PODS, SECRETS, SETS, State};

impl State {
    /// All actions of others: pods start and end, workers handle their requests, time passes.
    pub(crate) fn tick(&mut self, passes: Duration) {
        self.now = self.now.checked_add(passes).expect("no test lasts that long");
        self.delete_dependents();
        self.collect_garbage();
        let sets: Vec<Value> = self.objects.of(SETS).cloned().collect();
        let names: Vec<String> =
            sets.iter().map(|set| set["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
        let is_of_a_set = |pod: &&Value| pod["metadata"]["ownerReferences"][0]["kind"] == json!("StatefulSet");
        let pods: Vec<(String, Value)> = self
            .objects
            .of(PODS)
            .filter(is_of_a_set)
            .map(|pod| {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                (name, pod["metadata"]["ownerReferences"][0]["uid"].clone())
            })
            .collect();
        for (pod, owner) in pods {
            let wanted =
                sets.iter().any(|known| known["metadata"]["uid"] == owner && known["spec"]["replicas"] == json!(1));
            if !wanted {
                let now = self.now;
                self.objects.delete(PODS, &pod, &Value::Null, now);
            }
        }
        for (set, name) in sets.iter().zip(names) {
            if set["spec"]["replicas"] == json!(1) {
                self.make_pod(set, &format!("{name}-0"));
            }
        }
        let living: Vec<String> =
            self.objects.of(PODS).map(|pod| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()).collect();
        self.workers.retain(|uid, _| living.contains(uid));
        let (now, has_storage) = (self.now, self.has_storage);
        for worker in self.workers.values_mut() {
            worker.proceed(now, has_storage);
        }
        self.finish_batch_jobs();
    }

    /// The garbage collection of an object that is deleted in the foreground: the objects that it owns are deleted
    /// first, even if it has other finalizers.
    fn delete_dependents(&mut self) {
        let is_waiting = |object: &Value| {
            let finalizers = object["metadata"]["finalizers"].as_array();
            object["metadata"]["deletionTimestamp"].is_string()
                && finalizers.is_some_and(|finalizers| finalizers.contains(&json!(FOREGROUND)))
        };
        let owners: Vec<_> = self.objects.all.iter().filter(|(_, object)| is_waiting(object)).collect();
        let owners: Vec<_> = owners.into_iter().map(|(key, object)| (key.clone(), object.clone())).collect();
        let now = self.now;
        for ((collection, name), mut owner) in owners {
            let uid = owner["metadata"]["uid"].clone();
            let is_owned = |object: &Value| {
                let references = object["metadata"]["ownerReferences"].as_array();
                references.is_some_and(|references| references.iter().any(|reference| reference["uid"] == uid))
            };
            let dependents: Vec<_> =
                self.objects.all.iter().filter(|(_, object)| is_owned(object)).map(|(key, _)| key.clone()).collect();
            for (collection, name) in &dependents {
                self.objects.delete(collection, name, &Value::Null, now);
            }
            if dependents.is_empty()
                && let Some(finalizers) = owner["metadata"]["finalizers"].as_array_mut()
            {
                finalizers.retain(|finalizer| *finalizer != json!(FOREGROUND));
                self.objects.store(&collection, &name, owner);
            }
        }
    }

    fn collect_garbage(&mut self) {
        let uids: Vec<Value> = self.objects.all.values().map(|object| object["metadata"]["uid"].clone()).collect();
        let orphans: Vec<_> = self
            .objects
            .all
            .iter()
            .filter(|((collection, _), object)| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                collection != PODS
                    && owners.is_some_and(|owners| {
                        !owners.is_empty() && owners.iter().all(|owner| !uids.contains(&owner["uid"]))
                    })
            })
            .map(|(key, _)| key.clone())
            .collect();
        let now = self.now;
        for (collection, name) in orphans {
            self.objects.delete(&collection, &name, &Value::Null, now);
        }
    }

    fn make_pod(&mut self, set: &Value, name: &str) {
        if self.objects.get(PODS, name).is_some() {
            return;
        }
        if let Some(why) = self.refuses_pods.clone() {
            return self.refuse_pod(set, name, &why);
        }
        let template = &set["spec"]["template"];
        let image = template["spec"]["containers"][0]["image"].as_str().unwrap_or_default().to_owned();
        let is_missing = self.missing_tags.iter().any(|tag| image.ends_with(&format!(":{tag}")));
        let volumes = template["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let config_map = volumes.iter().find_map(|volume| volume["configMap"]["name"].as_str()).unwrap_or_default();
        let config = self
            .objects
            .get(CONFIG_MAPS, config_map)
            .and_then(|found| found["data"][mounts::CONFIG_FILE].as_str().map(str::to_owned));
        let secret = volumes.iter().find_map(|volume| {
            (volume["name"] == json!("identity")).then(|| volume["secret"]["secretName"].as_str())?
        });
        let has_identity = secret.is_some_and(|secret| self.objects.get(SECRETS, secret).is_some());
        // A pod waits for volumes that do not exist.
        let Some(config) = config.filter(|_| has_identity) else { return };
        let sql = self.objects.get(CONFIG_MAPS, config_map).map(|found| found["data"][mounts::SQL_FILE].to_string());
        let now = self.now;
        let state = if is_missing {
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})
        } else {
            json!({"running": {"startedAt": now.to_string()}})
        };
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "shop",
                "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"],
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "controller": true,
                    "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
                }],
            },
            "spec": {"containers": template["spec"]["containers"], "nodeName": "node-1"},
            "status": {
                "podIP": format!("10.0.{}.{}", self.objects.version / 250, self.objects.version % 250 + 1),
                "conditions": [{"type": "Ready", "status": if is_missing { "False" } else { "True" }}],
                "containerStatuses": [{
                    "name": "worker", "image": image, "imageID": "", "ready": !is_missing, "restartCount": 0, "state": state,
                }],
            },
        });
        let (_, pod) = self.objects.create(PODS, pod, now);
        if !is_missing {
            let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
            let config: WorkerConfig = serde_json::from_str(&config).expect("a worker's configuration");
            self.attempts += 1;
            let is_lost = serde_json::to_string(&config.start.from).is_ok_and(|from| from.contains("/nothing-here"));
            let fails = is_lost || sql.is_some_and(|sql| sql.contains("'fails'"));
            self.workers.insert(uid, Worker::started(config, self.attempts, now, fails));
        }
    }

    /// The event of the StatefulSet controller if it cannot create a pod.
    fn refuse_pod(&mut self, set: &Value, name: &str, why: &str) {
        let (uid, now) = (&set["metadata"]["uid"], self.now.to_string());
        let event = format!("refused-{name}");
        let first = self.objects.get(EVENTS, &event).map(|known| known["deprecatedFirstTimestamp"].clone());
        let object = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": event, "namespace": "shop", "creationTimestamp": now}, "regarding": {"uid": uid},
            "reason": "FailedCreate", "reportingController": "statefulset-controller",
            "note": format!("create Pod {name} in StatefulSet x failed error: {why}"),
            "deprecatedFirstTimestamp": first.unwrap_or_else(|| json!(now)), "deprecatedLastTimestamp": now,
        });
        self.objects.store(EVENTS, &event, object);
    }

    fn finish_batch_jobs(&mut self) {
        if !self.has_storage {
            return;
        }
        let names: Vec<String> =
            self.objects.of(BATCH).map(|job| job["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect();
        let now = self.now;
        for name in names {
            let pod = format!("{name}-x");
            if self.objects.get(PODS, &pod).is_none() {
                let ended = json!({"terminated": {
                    "exitCode": 0, "finishedAt": now.to_string(),
                    "message": json!({"uri": "", "checkpoint": 9, "takenAtMs": 0}).to_string(),
                }});
                let labels = json!({"batch.kubernetes.io/job-name": name});
                let statuses = json!([{
                    "name": "cleanup", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": ended,
                }]);
                let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "labels": labels},
                    "spec": {"containers": []}, "status": {"containerStatuses": statuses}});
                self.objects.create(PODS, object, now);
            }
            let done = json!({"status": {"conditions": [{"type": "Complete", "status": "True"}]}});
            self.objects.patch(BATCH, &name, Some("status"), &done, false, now);
        }
    }
}
