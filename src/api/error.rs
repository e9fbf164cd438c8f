//! Errors of the API: `{"error":{"code","message"}}`.

use crate::explain::Refused;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

pub(super) fn error(status: StatusCode, code: &'static str, message: &'static str) -> Response {
    let body = Json(serde_json::json!({ "error": { "code": code, "message": message } }));
    (status, Extension(Refused { code, message: message.into() }), body).into_response()
}

pub(super) async fn not_found(method: Method) -> Response {
    // These methods have no meaning on any path, and TRACE would echo the request.
    if matches!(method, Method::TRACE | Method::CONNECT) {
        return ([("allow", "GET, HEAD")], method_not_allowed().await).into_response();
    }
    no_such_page()
}

pub(super) fn no_such_page() -> Response {
    error(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address")
}

/// The router adds `Allow`.
pub(super) async fn method_not_allowed() -> Response {
    error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address only answers the methods in Allow")
}
