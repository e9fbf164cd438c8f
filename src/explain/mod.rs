//! The page that a person gets where a program gets an error as JSON: the same refusal, in words and with a way on.
//!
//! A refusal brings its [`Refused`] as an extension of its response. [`Reader::of`] looks whether the request's `Accept`
//! asks for a page, as browsers do for what a person opens, and [`Reader::explained`] then replaces the body. Scripts, images and
//! programs ask for anything or for JSON and get JSON.
//!
//! Does not know: which requests are refused, or why.

mod words;

use axum::body::Body;
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, Uri};
use std::borrow::Cow;
use std::fmt::Write as _;
use words::{Language, Words};

const TEMPLATE: &str = include_str!("../../web/templates/refused.html");

/// Characters of an address that a page repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// Characters of a room's name.
const ROOM_CHARS_MAX: usize = 64;

/// Styles and the icon come from this server, and nobody frames the page.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Why a request was refused, as the JSON says it.
#[derive(Clone, Debug)]
pub struct Refused {
    pub code: &'static str,
    pub message: Cow<'static, str>,
}

/// A person who has asked for a page.
#[derive(Debug)]
pub struct Reader {
    path: String,
    language: Language,
    has_pages: bool,
}

impl Reader {
    /// The person behind a request, if there is one. `has_pages`: the list of rooms is at this address.
    pub fn of(uri: &Uri, headers: &HeaderMap, has_pages: bool) -> Option<Self> {
        if !prefers_a_page(headers) {
            return None;
        }
        let wished = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("lang=")));
        let languages = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let language = Language::pick(wished.into_iter().chain(languages.flat_map(|value| value.split(','))));
        Some(Self { path: uri.path().to_owned(), language, has_pages })
    }

    /// The same person at `path`: what is left of the address below what a proxy or a setting puts in front of ours.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The same refusal as a page; anything else as it is.
    pub fn explained(&self, mut response: Response<Body>) -> Response<Body> {
        let Some(refused) = response.extensions_mut().remove::<Refused>() else { return response };
        let page = self.page(response.status().as_u16(), &refused);
        let headers = response.headers_mut();
        for (name, value) in self.headers() {
            // The address may have a policy of its own.
            if name != CONTENT_SECURITY_POLICY || !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        headers.remove(CONTENT_LENGTH);
        *response.body_mut() = Body::from(page);
        response
    }

    /// What says how to read the page, and what it may do.
    pub fn headers(&self) -> [(HeaderName, &'static str); 7] {
        [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_LANGUAGE, self.language.tag()),
            (CACHE_CONTROL, "no-store"),
            (VARY, "accept, accept-language"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "same-origin"),
            (CONTENT_SECURITY_POLICY, POLICY),
        ]
    }

    pub fn page(&self, status: u16, refused: &Refused) -> String {
        let words = self.language.words();
        // Relative to the address, so that it is right below any path that a proxy puts in front.
        let up = match self.path.bytes().filter(|byte| *byte == b'/').count() {
            0 | 1 => "./".to_owned(),
            depth => "../".repeat(depth - 1),
        };
        let (title, what, cleaned) = self.told(words, refused.code);
        let mut ways = String::new();
        if let Some(name) = &cleaned {
            let label = words.open_room.replace("{room}", name);
            let _ = write!(ways, r#"<a class="button primary" href="{up}rooms/{name}">{label}</a> "#);
        }
        if self.has_pages {
            let _ = write!(ways, r#"<a class="button" href="{up}">{}</a>"#, words.home);
        }
        let (status, message) = (status.to_string(), escaped(&refused.message));
        let fill = |name: &str| match name {
            "lang" => self.language.tag(),
            "title" => &title,
            "what" => &what,
            "ways" => &ways,
            "up" => &up,
            "status" => &status,
            "code" => refused.code,
            "message" => &message,
            _ => "",
        };
        filled(TEMPLATE, fill)
    }

    /// The heading, what to know, and a room's name that is meant perhaps; ready for the page.
    fn told(&self, words: &Words, code: &str) -> (String, String, Option<String>) {
        let room = self.path.strip_prefix("/rooms/").filter(|_| self.has_pages && code == "not_found");
        if let Some(room) = room.map(|room| decoded(room.trim_matches('/'))).filter(|room| !room.is_empty()) {
            let shown: String = room.chars().take(SHOWN_CHARS_MAX).collect();
            let more = if shown.len() < room.len() { "…" } else { "" };
            let title = words.no_room.replace("{room}", &format!("<bdi>{}{more}</bdi>", escaped(&shown)));
            return (title, words.room_names.to_owned(), cleaned(&room));
        }
        let (title, what) = words.of(code);
        (title.to_owned(), what.to_owned(), None)
    }
}

/// Whether HTML is asked for by name, and not behind JSON.
fn prefers_a_page(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut html, mut json) = (0.0, 0.0);
    for range in lines.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0));
        match kind.as_str() {
            "text/html" | "application/xhtml+xml" => html = f32::max(html, quality),
            "application/json" => json = f32::max(json, quality),
            _ => {}
        }
    }
    html > json
}

/// A path segment as people read it; bytes that are no text become question marks.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The room's name that is meant, if enough of it is left: letters and digits stay, what is between them becomes a hyphen.
fn cleaned(room: &str) -> Option<String> {
    let mut name = String::new();
    for c in room.chars() {
        match c {
            'A'..='Z' | 'a'..='z' | '0'..='9' | '_' => name.push(c),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
        if name.len() >= ROOM_CHARS_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    name.contains(|c: char| c.is_ascii_alphanumeric()).then(|| name.to_owned())
}

/// Text for a page, in an element or in quotes. Characters without a picture of their own become visible.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The template with its places filled. What is filled in is not looked at again.
fn filled<'a>(template: &str, fill: impl Fn(&str) -> &'a str) -> String {
    let mut page = String::with_capacity(template.len() + 512);
    let mut pieces = template.split("{{");
    page.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (name, text) = piece.split_once("}}").unwrap_or((piece, ""));
        page.push_str(fill(name));
        page.push_str(text);
    }
    page
}

#[cfg(test)]
mod tests;
