//! Refusals over HTTP: one shape, `{"error":{"code","message"}}`; the code for programs, the message for
//! people, with what to do.

use crate::explain::{Reader, Refused};
use crate::metrics::Refusal;
use crate::policy::auth::{AuthAnswer, AuthError};
use axum::body::Body;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use std::borrow::Cow;

/// One refusal.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: Cow<'static, str>,
    /// How it is counted.
    pub(super) counted: Refusal,
    header: Option<(HeaderName, &'static str)>,
    close: bool,
}

impl Answer {
    /// A refusal that is counted as a bad request.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), counted: Refusal::BadRequest, header: None, close: false }
    }

    /// Adds one header.
    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// Counts it as something else than a bad request.
    pub(super) fn counted_as(mut self, refusal: Refusal) -> Self {
        self.counted = refusal;
        self
    }

    /// Ends the connection after the answer.
    pub(super) fn and_close(mut self) -> Self {
        self.close = true;
        self
    }

    pub(super) fn draining() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "the server restarts; try again in a few seconds")
            .with(RETRY_AFTER, "5")
            .counted_as(Refusal::Draining)
            .and_close()
    }

    /// The request names the admin address by a host that may be an attacker's. The answer repeats nothing, because an
    /// attacker's page may read it.
    pub(super) fn wrong_host() -> Self {
        let message = "without an admin_key this address answers only to names that are surely this machine's: \
                       localhost, a loopback address, or the address that it listens on; add the name that you used \
                       to admin_hosts, or set admin_key";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", message).counted_as(Refusal::WrongHost)
    }

    /// The client was not identified. A 401 names the scheme that it asks for (RFC 9110, 15.5.2).
    pub(super) fn unidentified(error: AuthError) -> Self {
        let AuthAnswer { status, code, .. } = error.answer();
        let status = StatusCode::from_u16(status).expect("the table has HTTP statuses");
        let answer = Self::new(status, code, error.to_string());
        match status {
            StatusCode::UNAUTHORIZED => answer.with(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""),
            _ => answer,
        }
    }

    pub(super) fn rooms_full() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "rooms_full", super::RoomsFull.to_string())
            .with(RETRY_AFTER, "30")
            .counted_as(Refusal::RoomsFull)
    }

    pub(super) fn connections_full() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "the server has reached its limit of connections; try again later",
        )
        .with(RETRY_AFTER, "10")
        .counted_as(Refusal::Connections)
        .and_close()
    }

    pub(super) fn admin_busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "the admin address has reached its limit of concurrent requests; try again when some have ended",
        )
        .with(RETRY_AFTER, "1")
        .counted_as(Refusal::Connections)
        .and_close()
    }

    pub(super) fn address_full() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_connections",
            "your address has reached its limit of connections; close some first",
        )
        .with(RETRY_AFTER, "10")
        .counted_as(Refusal::PerAddress)
        .and_close()
    }

    fn body(&self) -> Vec<u8> {
        let body = serde_json::json!({ "error": { "code": self.code, "message": self.message } });
        let mut body = body.to_string().into_bytes();
        body.push(b'\n');
        body
    }

    /// For hyper.
    pub(super) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self.refused());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = &self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The content of the JSON, for a page.
    fn refused(&self) -> Refused {
        Refused { code: self.code, message: self.message.clone() }
    }

    /// As bytes, for connections that are not worth a hyper; a page if a person reads it.
    pub(super) fn bytes(&self, reader: Option<&Reader>) -> Vec<u8> {
        let (body, kind) = match reader {
            Some(reader) => {
                (reader.page(self.status.as_u16(), &self.refused()).into_bytes(), reader.headers().to_vec())
            }
            None => (self.body(), vec![(CONTENT_TYPE, "application/json")]),
        };
        let mut out = format!(
            "HTTP/1.1 {} {}\r\ncontent-length: {}\r\nconnection: close\r\n",
            self.status.as_str(),
            self.status.canonical_reason().unwrap_or_default(),
            body.len(),
        )
        .into_bytes();
        for (name, value) in kind {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if let Some((name, value)) = &self.header {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&body);
        out
    }
}
