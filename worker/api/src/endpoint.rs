//! The API's endpoints. All answers are JSON. A failed request is answered with a
//! [`Problem`](crate::savepoint::Problem).

/// `GET`: [`JobStatus`](crate::JobStatus).
pub const JOB: &str = "/api/v1/job";
/// `GET`: [`Plan`](crate::status::Plan).
pub const PLAN: &str = "/api/v1/job/plan";
/// `GET`: [`Checkpoints`](crate::status::Checkpoints).
pub const CHECKPOINTS: &str = "/api/v1/checkpoints";
/// `GET`: [`Savepoints`](crate::status::Savepoints). `POST` a [`SavepointRequest`](crate::SavepointRequest): takes a
/// savepoint, answers 202 with a [`Savepoint`](crate::Savepoint).
pub const SAVEPOINTS: &str = "/api/v1/savepoints";
/// `GET`: one [`Savepoint`](crate::Savepoint) by the name of its request; 404 if there was none.
pub const SAVEPOINT: &str = "/api/v1/savepoints/{name}";
/// `POST` a [`RescaleRequest`](crate::savepoint::RescaleRequest): answers 202 with the [`JobStatus`](crate::JobStatus).
pub const RESCALE: &str = "/api/v1/job/rescale";
/// `POST` a [`StopRequest`](crate::savepoint::StopRequest): answers 202 with the [`JobStatus`](crate::JobStatus).
pub const STOP: &str = "/api/v1/job/stop";
/// `POST`: cancels a stop that has not ended the job yet, so that sources continue to read; answers 202 with the
/// [`JobStatus`](crate::JobStatus). Has no effect if the job is not being stopped. Refused once the job has stopped.
pub const RESUME: &str = "/api/v1/job/resume";
/// `POST`: ends the job at once; answers 202 with the [`JobStatus`](crate::JobStatus).
pub const CANCEL: &str = "/api/v1/job/cancel";
/// `GET`: the description of this API.
pub const OPENAPI: &str = "/openapi.json";
