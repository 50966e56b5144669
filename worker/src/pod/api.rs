//! The HTTP API of a worker; [`eddyline_api`] has its types and paths.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use eddyline_api::savepoint::{Problem, RescaleRequest, SavepointRequest, StopRequest};
use eddyline_api::{endpoint, openapi};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::supervisor::{Refused, Supervisor};
use super::tls::{Identity, Listener};
use crate::metrics_server;

/// Starts serving. Ends with the runtime.
///
/// # Errors
/// When the address cannot be bound; the message names it.
pub async fn serve(
    address: SocketAddr,
    identity: Identity,
    supervisor: Arc<Supervisor>,
) -> std::io::Result<SocketAddr> {
    let listener = metrics_server::bind(address).await?;
    let bound = listener.local_addr()?;
    let listener = Listener::start(listener, identity)?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router(supervisor)).await {
            tracing::error!(%error, "the API has stopped");
        }
    });
    Ok(bound)
}

type Job = State<Arc<Supervisor>>;

/// The paths of the API.
pub fn router(supervisor: Arc<Supervisor>) -> Router {
    Router::new()
        .route(endpoint::JOB, get(async |State(job): Job| json(StatusCode::OK, &job.status())))
        .route(endpoint::PLAN, get(async |State(job): Job| answer(StatusCode::OK, job.plan())))
        .route(endpoint::CHECKPOINTS, get(async |State(job): Job| json(StatusCode::OK, &job.checkpoints())))
        .route(
            endpoint::SAVEPOINTS,
            get(async |State(job): Job| json(StatusCode::OK, &job.savepoints())).post(take_savepoint),
        )
        .route(endpoint::SAVEPOINT, get(savepoint))
        .route(endpoint::RESCALE, post(rescale))
        .route(endpoint::STOP, post(stop))
        .route(endpoint::RESUME, post(resume))
        .route(endpoint::CANCEL, post(cancel))
        .route(endpoint::OPENAPI, get(async || json(StatusCode::OK, &openapi::document())))
        .fallback(async || problem(StatusCode::NOT_FOUND, "unknown path".to_owned()))
        .with_state(supervisor)
}

async fn take_savepoint(State(job): Job, body: Bytes) -> Response {
    answer(StatusCode::ACCEPTED, parse::<SavepointRequest>(&body).and_then(|request| job.take_savepoint(request)))
}

async fn savepoint(State(job): Job, Path(name): Path<String>) -> Response {
    match job.savepoint(&name) {
        Some(savepoint) => json(StatusCode::OK, &savepoint),
        None => problem(StatusCode::NOT_FOUND, format!("this process was not asked for a savepoint {name}")),
    }
}

async fn rescale(State(job): Job, body: Bytes) -> Response {
    let done = parse::<RescaleRequest>(&body).and_then(|request| job.rescale(request.parallelism));
    answer(StatusCode::ACCEPTED, done.map(|()| job.status()))
}

async fn stop(State(job): Job, body: Bytes) -> Response {
    let done = parse::<StopRequest>(&body).and_then(|request| job.stop(request));
    answer(StatusCode::ACCEPTED, done.map(|()| job.status()))
}

async fn resume(State(job): Job) -> Response {
    answer(StatusCode::ACCEPTED, job.resume().map(|()| job.status()))
}

async fn cancel(State(job): Job) -> Response {
    job.cancel();
    json(StatusCode::ACCEPTED, &job.status())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::Invalid(format!("the request cannot be read: {error}")))
}

fn answer<T: Serialize>(code: StatusCode, result: Result<T, Refused>) -> Response {
    match result {
        Ok(body) => json(code, &body),
        Err(refused @ Refused::Invalid(_)) => problem(StatusCode::UNPROCESSABLE_ENTITY, refused.to_string()),
        Err(refused @ Refused::Conflict(_)) => problem(StatusCode::CONFLICT, refused.to_string()),
    }
}

fn problem(code: StatusCode, message: String) -> Response {
    json(code, &Problem { message })
}

fn json(code: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("the types of the API are plain data");
    (code, [(CONTENT_TYPE, "application/json")], text).into_response()
}
