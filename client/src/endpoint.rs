//! Where a server is: scheme, host and port of a URL, and nothing after them.

use std::{fmt, str::FromStr};

use http::Uri;

/// The address of one server, such as `http://127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Scheme and authority, without a slash at the end.
    text: String,
}

/// Why some text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an endpoint: {reason}")]
pub struct InvalidEndpoint {
    text: String,
    reason: &'static str,
}

impl Endpoint {
    /// The absolute URI of `path_and_query` at this endpoint; none when they do not make one.
    pub fn uri(&self, path_and_query: &Uri) -> Option<Uri> {
        format!("{self}{path_and_query}").parse().ok()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let refuse = |reason| InvalidEndpoint {
            text: text.to_owned(),
            reason,
        };
        let uri: Uri = text
            .parse()
            .map_err(|_| refuse("it is not a URL; one looks like http://127.0.0.1:8080"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refuse("it starts with neither http:// nor https://"));
        };
        match scheme {
            "http" => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => return Err(refuse("https needs the client's cargo feature `tls`")),
            _ => return Err(refuse("its scheme is neither http nor https")),
        }
        if authority.host().is_empty() {
            return Err(refuse("it has no host"));
        }
        if authority.as_str().contains('@') {
            return Err(refuse("it must not carry a user or a password"));
        }
        // The library reads what is no port as none.
        let after_host = &authority.as_str()[authority.host().len()..];
        if !after_host.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(refuse("its port is not one of 1 to 65535"));
        }
        if uri.path() != "/" || uri.query().is_some() || text.ends_with('?') {
            return Err(refuse("nothing may follow host and port"));
        }
        Ok(Self {
            text: format!("{scheme}://{authority}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_makes_no_difference() {
        for text in ["http://a:8080", "http://a:8080/"] {
            let endpoint: Endpoint = text.parse().expect("legal");
            assert_eq!(endpoint.to_string(), "http://a:8080");
        }
    }

    #[test]
    fn names_and_addresses_of_both_families_are_taken() {
        for text in [
            "http://db.example",
            "http://[::1]:8080",
            "http://10.0.0.1:1",
        ] {
            let endpoint: Endpoint = text.parse().expect("legal");
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "not a URL"),
            ("127.0.0.1:8080", "neither http://"),
            ("localhost", "neither http://"),
            ("/keys", "neither http://"),
            ("ftp://a", "scheme"),
            ("http://:8080", "no host"),
            ("http://user:secret@a:8080", "password"),
            ("http://a:99999", "port"),
            ("http://a:", "port"),
            ("http://a:0", "port"),
            ("http://a/base", "follow"),
            ("http://a/?x=1", "follow"),
            ("http://a b", "not a URL"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text).to_string();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn https_without_tls_says_which_feature_is_missing() {
        let error = "https://a"
            .parse::<Endpoint>()
            .expect_err("no TLS")
            .to_string();
        assert!(error.contains("feature `tls`"), "{error}");
    }
}
