//! Where the pages are: below which path, and inside whose frames; and the headers that hold for all answers.

use crate::base_path::BasePath;
use crate::config::Config;
use crate::origin::Origins;
use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// What an operator chose about the pages' addresses.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Below which path they are.
    pub base: BasePath,
    /// Whose pages may show ours in a frame, beside our own.
    pub frame_ancestors: Origins,
}

impl Site {
    /// The site as configured.
    pub fn of(config: &Config) -> Self {
        Self { base: config.addresses.public_path.clone(), frame_ancestors: config.pages.frame_ancestors.clone() }
    }
}

/// Scripts and styles come from this server only, pictures (of product cards) from anywhere over TLS, and WebSockets may go
/// to other nodes: a hole in a page's escaping still runs nothing.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' https: data: blob:; \
                      object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors";

/// The origins as the policy names them. Nothing in an [`Origins`] can end a directive or a header.
fn frame_ancestors(origins: &Origins) -> String {
    let source = |origin: String| match origin.strip_suffix("://") {
        // A `file:` origin has no host; a policy names it by its scheme.
        Some(scheme) => format!("{scheme}:"),
        None => origin,
    };
    origins.texts().map(source).collect::<Vec<_>>().join(" ")
}

/// The public side's routes: also below the base path, and with the headers.
pub(super) fn public(router: Router, site: Site) -> Router {
    let ancestors = frame_ancestors(&site.frame_ancestors);
    let headers = Headers::new(&format!("'self' {ancestors}"), ancestors.is_empty().then_some("SAMEORIGIN"));
    with_headers(below(router, site.base), headers)
}

/// The admin side's: nothing there belongs into a frame.
pub(super) fn admin(router: Router) -> Router {
    with_headers(router, Headers::new("'none'", Some("DENY")))
}

/// Takes the base path from requests before they are routed.
fn below(router: Router, base: BasePath) -> Router {
    if base.is_root() {
        return router;
    }
    let enter = move |mut request: Request, next: Next| {
        let base = base.clone();
        async move {
            let uri = request.uri();
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            if base.lacks_slash(uri.path()) {
                return (StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("{base}{query}"))]).into_response();
            }
            let path = base.inner(uri.path());
            if path.len() != uri.path().len()
                && let Ok(inner) = format!("{path}{query}").parse::<Uri>()
            {
                *request.uri_mut() = inner;
            }
            next.run(request).await
        }
    };
    Router::new().fallback_service(router).layer(from_fn(enter))
}

/// Headers of every answer.
struct Headers(Vec<(HeaderName, HeaderValue)>);

impl Headers {
    /// `frame_options` is for browsers that do not know the policy's `frame-ancestors`; it knows no list.
    fn new(ancestors: &str, frame_options: Option<&'static str>) -> Arc<Self> {
        let policy = HeaderValue::from_str(&format!("{POLICY} {}", ancestors.trim_end())).expect("origins are ASCII");
        let mut all = vec![
            (CONTENT_SECURITY_POLICY, policy),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        ];
        all.extend(frame_options.map(|word| (X_FRAME_OPTIONS, HeaderValue::from_static(word))));
        Arc::new(Self(all))
    }
}

fn with_headers(router: Router, headers: Arc<Headers>) -> Router {
    router.layer(map_response(move |mut response: Response| {
        let headers = headers.clone();
        async move {
            for (name, value) in &headers.0 {
                response.headers_mut().insert(name, value.clone());
            }
            response
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_listed_origin_ends_its_directive_or_the_header(
            text in prop_oneof![
                "[a-z+.-]{1,8}://[!-~]{0,20}",
                "https://[ -~]{0,30}",
                "[\\x00-\\x7f]{0,30}",
                "(https|file|app)://[a-z0-9.~_\\[\\]:;, '\\r\\n-]{0,20}",
            ]
        ) {
            let Ok(origins) = Origins::read([text.as_str()].into_iter()) else { return Ok(()) };
            let sources = frame_ancestors(&origins);
            prop_assert!(sources.bytes().all(|b| b.is_ascii_graphic() && !b";,'\"".contains(&b)), "{sources:?}");
            let _ = Headers::new(&sources, None);
        }
    }
}
