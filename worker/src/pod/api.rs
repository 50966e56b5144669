//! The HTTP API of a worker; [`eddyline_api`] has its types and paths.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use eddyline_api::savepoint::{Problem, RescaleRequest, SavepointRequest, StopRequest};
use eddyline_api::{endpoint, openapi};
use serde::Serialize;

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
        .route(endpoint::JOB, get(async |State(job): Job| Json(job.status())))
        .route(endpoint::PLAN, get(async |State(job): Job| answer(StatusCode::OK, job.plan())))
        .route(endpoint::CHECKPOINTS, get(async |State(job): Job| Json(job.checkpoints())))
        .route(endpoint::SAVEPOINTS, get(async |State(job): Job| Json(job.savepoints())).post(take_savepoint))
        .route(endpoint::SAVEPOINT, get(savepoint))
        .route(endpoint::RESCALE, post(rescale))
        .route(endpoint::STOP, post(stop))
        .route(endpoint::CANCEL, post(cancel))
        .route(endpoint::OPENAPI, get(async || Json(openapi::document())))
        .fallback(async || problem(StatusCode::NOT_FOUND, "there is no such path".to_owned()))
        .with_state(supervisor)
}

async fn take_savepoint(State(job): Job, request: Result<Json<SavepointRequest>, JsonRejection>) -> Response {
    match request {
        Ok(Json(request)) => answer(StatusCode::ACCEPTED, job.take_savepoint(request)),
        Err(rejection) => problem(rejection.status(), rejection.body_text()),
    }
}

async fn savepoint(State(job): Job, Path(name): Path<String>) -> Response {
    match job.savepoint(&name) {
        Some(savepoint) => Json(savepoint).into_response(),
        None => problem(StatusCode::NOT_FOUND, format!("this process was not asked for a savepoint {name}")),
    }
}

async fn rescale(State(job): Job, request: Result<Json<RescaleRequest>, JsonRejection>) -> Response {
    match request {
        Ok(Json(request)) => {
            answer(StatusCode::ACCEPTED, job.rescale(request.parallelism).map(|()| job.status()))
        }
        Err(rejection) => problem(rejection.status(), rejection.body_text()),
    }
}

async fn stop(State(job): Job, request: Result<Json<StopRequest>, JsonRejection>) -> Response {
    match request {
        Ok(Json(request)) => answer(StatusCode::ACCEPTED, job.stop(request).map(|()| job.status())),
        Err(rejection) => problem(rejection.status(), rejection.body_text()),
    }
}

async fn cancel(State(job): Job) -> Response {
    job.cancel();
    (StatusCode::ACCEPTED, Json(job.status())).into_response()
}

fn answer<T: Serialize>(code: StatusCode, result: Result<T, Refused>) -> Response {
    match result {
        Ok(body) => (code, Json(body)).into_response(),
        Err(refused @ Refused::Invalid(_)) => problem(StatusCode::UNPROCESSABLE_ENTITY, refused.to_string()),
        Err(refused @ Refused::Conflict(_)) => problem(StatusCode::CONFLICT, refused.to_string()),
    }
}

fn problem(code: StatusCode, message: String) -> Response {
    (code, Json(Problem { message })).into_response()
}
