//! Web origins: `https://shop.example`, and which of them may talk to us. Pure.

use std::fmt;
use std::str::FromStr;

use crate::field::Invalid;

/// A scheme, a host and perhaps a port, normalised: lower case, without the scheme's own port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: &'static str,
    authority: String,
}

/// A text that is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an origin such as https://shop.example, without a path")]
pub struct NotAnOrigin;

impl Origin {
    /// Whether pages of this origin travel encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Host and port, without the scheme.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The origin a request's own Host header stands for, over plain HTTP unless told otherwise.
    #[must_use]
    pub fn of_host(host: &str, https: bool) -> Option<Self> {
        let scheme = if https { "https" } else { "http" };
        format!("{scheme}://{host}").parse().ok()
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;
    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let text = text.trim().to_ascii_lowercase();
        let (scheme, rest, own_port) = if let Some(rest) = text.strip_prefix("https://") {
            ("https", rest, ":443")
        } else {
            ("http", text.strip_prefix("http://").ok_or(NotAnOrigin)?, ":80")
        };
        // One trailing slash is what people paste from the address bar.
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority = rest.strip_suffix(own_port).unwrap_or(rest);
        if is_authority(authority) {
            return Ok(Self { scheme, authority: authority.to_owned() });
        }
        Err(NotAnOrigin)
    }
}

fn is_authority(text: &str) -> bool {
    let (host, port) = if let Some(v6) = text.strip_prefix('[') {
        let Some((host, rest)) = v6.split_once(']') else { return false };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        return rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    } else {
        text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
    };
    let labels = host.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    });
    host.len() <= 253 && labels && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// Which origins may embed an inbox: a list, or `*` for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Every origin.
    Any,
    /// Only these.
    Only(Vec<Origin>),
}

impl AllowedOrigins {
    /// No page but our own.
    #[must_use]
    pub fn only_our_own() -> Self {
        Self::Only(Vec::new())
    }

    /// Most origins an inbox may name.
    pub const MAX: usize = 100;

    /// Reads the list as written in an inbox.
    ///
    /// # Errors
    /// Names `field` with the index of what is wrong.
    pub fn parse(field: &str, list: &[String]) -> Result<Self, Invalid> {
        if list.len() > Self::MAX {
            return Err(Invalid::new(field, format!("Must name at most {} origins.", Self::MAX)));
        }
        if list.iter().any(|origin| origin.trim() == "*") {
            if list.len() > 1 {
                return Err(Invalid::new(field, "`*` allows every origin: it must stand alone."));
            }
            return Ok(Self::Any);
        }
        let mut origins = Vec::with_capacity(list.len());
        for (index, text) in list.iter().enumerate() {
            let origin = text.parse::<Origin>().map_err(|error| {
                Invalid::new(format!("{field}[{index}]"), format!("`{text}` {error}."))
            })?;
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        Ok(Self::Only(origins))
    }

    /// Whether a page of `origin` may talk to the inbox.
    #[must_use]
    pub fn allow(&self, origin: &Origin) -> bool {
        match self {
            Self::Any => true,
            Self::Only(list) => list.contains(origin),
        }
    }

    /// The list as stored and shown.
    #[must_use]
    pub fn to_list(&self) -> Vec<String> {
        match self {
            Self::Any => vec!["*".to_owned()],
            Self::Only(list) => list.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Option<&str>) {
        let got = text.parse::<Origin>().ok().map(|origin| origin.to_string());
        assert_eq!(got.as_deref(), want, "{text}");
    }

    #[test]
    fn origins_are_normalised() {
        check("https://Shop.Example", Some("https://shop.example"));
        check("https://shop.example:443/", Some("https://shop.example"));
        check("http://localhost:3000", Some("http://localhost:3000"));
        check("http://[::1]:80", Some("http://[::1]"));
        for bad in [
            "",
            "null",
            "*",
            "shop.example",
            "ftp://x.y",
            "https://",
            "https://a b",
            "https://x/y",
            "https://x:0",
            "https://x:99999",
            "https://user@x",
            "http://[zz]",
            "https://x?y",
            "https://a..b",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn lists_allow_all_or_exactly_what_they_name() {
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let parse = |items: &[&str]| AllowedOrigins::parse("allowed_origins", &list(items));
        let shop: Origin = "https://shop.example".parse().expect("origin");
        let other: Origin = "http://shop.example".parse().expect("origin");
        assert!(parse(&["*"]).is_ok_and(|a| a.allow(&shop)));
        let only = parse(&["https://shop.example", "https://SHOP.example/"]).expect("list");
        assert!(only.allow(&shop) && !only.allow(&other));
        assert_eq!(only.to_list(), ["https://shop.example"]);
        assert!(parse(&[]).is_ok_and(|a| !a.allow(&shop)));
        assert!(parse(&["*", "https://x.y"]).is_err());
        let bad = parse(&["https://x.y", "x"]).expect_err("refused");
        assert_eq!(bad.field, "allowed_origins[1]");
    }
}
