//! The path before all public addresses, for proxies that forward `/chat/rooms/demo` unchanged.
//!
//! Does not know: requests, routes' meaning, configuration files.

use std::fmt;

/// First parts of our own public addresses. A base path that begins with one would hide them from a proxy that strips it.
const TAKEN: [&str; 3] = ["assets", "rooms", "v1"];

/// Longest path in bytes: it stands before every address of every request.
const BYTES_MAX: usize = 200;

/// A path that begins and ends with a slash; `/` when nothing stands before our addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasePath(Box<str>);

/// Why a text is not a base path. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BasePathError {
    /// `chat`, or a whole address.
    #[error("it must be a path that begins with a slash, such as /chat/")]
    NoPath,
    /// What a proxy or a browser would write in another way.
    #[error(
        "between its slashes it may have only A-Z a-z 0-9 . _ ~ -, and no part may be empty, \".\" or \"..\"; write it as browsers show it"
    )]
    Part,
    /// `/rooms/…`
    #[error("its first part is one that Volley itself uses (assets, rooms, v1); choose a different one")]
    Taken,
    /// Beyond any use.
    #[error("it is longer than {BYTES_MAX} bytes; choose a shorter path")]
    Long,
}

impl Default for BasePath {
    fn default() -> Self {
        Self("/".into())
    }
}

impl fmt::Display for BasePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BasePath {
    /// Reads `/chat/`; the slash at the end may be left out.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, BasePathError> {
        if text.len() > BYTES_MAX {
            return Err(BasePathError::Long);
        }
        let inner = text.strip_prefix('/').ok_or(BasePathError::NoPath)?;
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return if text == "/" { Ok(Self::default()) } else { Err(BasePathError::Part) };
        }
        let is_plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b));
        if inner.split('/').any(|part| matches!(part, "" | "." | "..") || !is_plain(part)) {
            return Err(BasePathError::Part);
        }
        if inner.split('/').next().is_some_and(|first| TAKEN.contains(&first)) {
            return Err(BasePathError::Taken);
        }
        Ok(Self(format!("/{inner}/").into()))
    }

    /// Whether nothing stands before our addresses.
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// Our own path in `path`, with the base or, as a proxy that strips it sends it, without.
    pub fn inner<'p>(&self, path: &'p str) -> &'p str {
        let outer = &self.0[..self.0.len() - 1];
        path.strip_prefix(outer).filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }

    /// Whether `path` is the base without its slash at the end, from where relative addresses would lead astray.
    pub fn lacks_slash(&self, path: &str) -> bool {
        !self.is_root() && self.0.strip_suffix('/') == Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The configuration's table of keys is held against its model's fields in JSON.
    impl serde::Serialize for BasePath {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    #[test]
    fn paths_are_read_with_and_without_the_slash_at_the_end() {
        for (text, path) in [("/", "/"), ("/chat", "/chat/"), ("/chat/", "/chat/"), ("/a/b-c.d_~/E", "/a/b-c.d_~/E/")] {
            assert_eq!(BasePath::parse(text).unwrap().to_string(), path);
        }
    }

    #[test]
    fn what_is_no_path_says_why() {
        for (text, why) in [
            ("", BasePathError::NoPath),
            ("chat", BasePathError::NoPath),
            ("https://shop.example/chat", BasePathError::NoPath),
            ("//", BasePathError::Part),
            ("/a//b", BasePathError::Part),
            ("//shop.example/", BasePathError::Part),
            ("/a/../b", BasePathError::Part),
            ("/./", BasePathError::Part),
            ("/a b", BasePathError::Part),
            ("/a?b", BasePathError::Part),
            ("/a%2fb", BasePathError::Part),
            ("/\u{76f4}\u{64ad}", BasePathError::Part),
            ("/a\r\nLocation: x", BasePathError::Part),
            ("/rooms", BasePathError::Taken),
            ("/v1/chat", BasePathError::Taken),
            ("/assets/", BasePathError::Taken),
        ] {
            assert_eq!(BasePath::parse(text), Err(why), "{text:?}");
        }
        assert_eq!(BasePath::parse(&format!("/{}", "a".repeat(200))), Err(BasePathError::Long));
    }

    #[test]
    fn both_kinds_of_proxies_lead_to_the_same_address() {
        let base = BasePath::parse("/chat").unwrap();
        for (path, inner) in [
            ("/chat/rooms/demo", "/rooms/demo"),
            ("/rooms/demo", "/rooms/demo"),
            ("/chat/", "/"),
            ("/", "/"),
            ("/chat", "/chat"),
            ("/chatter/x", "/chatter/x"),
            ("/chat/chat/x", "/chat/x"),
            ("*", "*"),
        ] {
            assert_eq!(base.inner(path), inner);
        }
        assert!(base.lacks_slash("/chat") && !base.lacks_slash("/chat/") && !base.lacks_slash("/"));
        assert_eq!(BasePath::default().inner("//x"), "//x");
        assert!(!BasePath::default().lacks_slash(""));
    }

    proptest! {
        #[test]
        fn every_path_below_the_base_is_found_again(text in "/[a-z./]{0,12}", path in "/[ -~]{0,20}") {
            let Ok(base) = BasePath::parse(&text) else { return Ok(()) };
            prop_assert_eq!(BasePath::parse(&base.to_string()), Ok(base.clone()));
            let outer = format!("{base}{}", &path[1..]);
            prop_assert_eq!(base.inner(&outer), path.as_str());
            prop_assert!(http::HeaderValue::from_str(&base.to_string()).is_ok());
        }
    }
}
