//! For operators and their machines: metrics, health, readiness.

use super::{ApiState, HealthReport};
use crate::console;
use crate::metrics::scrape::{self, RoomFigure};
use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Mutex;

static SCRAPING: Mutex<()> = Mutex::const_new(());

/// Everything for Prometheus.
pub(super) async fn metrics(Extract(state): Extract<Arc<ApiState>>) -> Response {
    // Scrapes cost milliseconds with many rooms. One at a time: health checks have their turn between two of them.
    let _turn = SCRAPING.lock().await;
    tokio::task::yield_now().await;
    let mut text = state.exporter.render();
    scrape::admission(&mut text, (state.verdicts)().into_iter());
    let rooms = (state.rooms)();
    scrape::rooms(
        &mut text,
        rooms
            .iter()
            .map(|room| RoomFigure {
                room: room.id.as_str().to_owned(),
                online: room.online(),
                likes: room.figures.likes.load(Ordering::Relaxed),
                comments: room.figures.comments.load(Ordering::Relaxed),
                shed: room.figures.shed.load(Ordering::Relaxed),
                merged: room.figures.merged.load(Ordering::Relaxed),
            })
            .collect(),
    );
    let streams = [("stdout", console::out().dropped()), ("stderr", console::err().dropped())];
    scrape::console(&mut text, &streams.map(|(stream, dropped)| (stream, dropped.full, dropped.failed)));
    scrape::process(&mut text);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")], text).into_response()
}

/// 200 while the process works, even while it drains: a supervisor restarts an unhealthy process.
pub(super) async fn healthz(Extract(state): Extract<Arc<ApiState>>) -> Response {
    match (state.health)() {
        HealthReport::Working => status(StatusCode::OK, "working", None),
        HealthReport::Failing(detail) => status(StatusCode::SERVICE_UNAVAILABLE, "failing", Some(&detail)),
    }
}

/// 200 while new viewers are accepted; otherwise a load balancer sends them to a different node.
pub(super) async fn readyz(Extract(state): Extract<Arc<ApiState>>) -> Response {
    if state.shutdown.has_begun() {
        status(StatusCode::SERVICE_UNAVAILABLE, "draining", None)
    } else if !state.listening.has_begun() {
        status(StatusCode::SERVICE_UNAVAILABLE, "starting", None)
    } else {
        status(StatusCode::OK, "ready", None)
    }
}

fn status(code: StatusCode, word: &str, detail: Option<&str>) -> Response {
    let mut body = serde_json::json!({ "status": word });
    if let Some(detail) = detail {
        body["detail"] = detail.into();
    }
    (code, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
