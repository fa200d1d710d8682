//! Requests that are not answered: of other methods, and of pages of other hosts.

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};

/// Why a request is refused; nothing if it is not.
///
/// A page of another host can make a browser send requests here, under a name of its own that it has pointed
/// at this machine; such a name is in the header `Host`.
pub(super) fn refusal(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    port: u16,
) -> Option<(StatusCode, &'static str)> {
    if method != Method::GET {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "only GET is answered"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let own = |host: &str| {
        ["127.0.0.1", "localhost"]
            .iter()
            .any(|name| host == format!("{name}:{port}"))
    };
    let is_own = host.is_some_and(own) && hosts.next().is_none();
    if !is_own
        || uri
            .authority()
            .is_some_and(|authority| !own(authority.as_str()))
    {
        return Some((
            StatusCode::MISDIRECTED_REQUEST,
            "only requests to this machine are answered",
        ));
    }
    let site = headers
        .get("sec-fetch-site")
        .and_then(|site| site.to_str().ok());
    let mode = headers
        .get("sec-fetch-mode")
        .and_then(|mode| mode.to_str().ok());
    // A link from elsewhere may lead here; a page from elsewhere may not read or show what is here.
    if matches!(site, Some("cross-site" | "same-site")) && mode != Some("navigate") {
        return Some((StatusCode::FORBIDDEN, "only pages of this server may ask"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, uri: &str, headers: &[(&'static str, &str)]) -> Option<StatusCode> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        refusal(&method, &uri.parse().unwrap(), &map, 4000).map(|(status, _)| status)
    }

    #[test]
    fn only_this_machine_is_answered() {
        for host in ["127.0.0.1:4000", "localhost:4000"] {
            assert_eq!(asked(Method::GET, "/", &[("host", host)]), None);
        }
        for host in [
            "evil.example:4000",
            "127.0.0.1",
            "127.0.0.1:4001",
            "localhost.evil:4000",
            "",
        ] {
            let said = asked(Method::GET, "/", &[("host", host)]);
            assert_eq!(said, Some(StatusCode::MISDIRECTED_REQUEST), "{host}");
        }
        let twice = [("host", "localhost:4000"), ("host", "evil.example")];
        assert_eq!(
            asked(Method::GET, "/", &twice),
            Some(StatusCode::MISDIRECTED_REQUEST)
        );
        assert_eq!(
            asked(Method::GET, "/", &[]),
            Some(StatusCode::MISDIRECTED_REQUEST)
        );
        let other = asked(
            Method::GET,
            "http://evil.example/",
            &[("host", "localhost:4000")],
        );
        assert_eq!(other, Some(StatusCode::MISDIRECTED_REQUEST));
    }

    #[test]
    fn only_get_is_answered() {
        for method in [
            Method::POST,
            Method::HEAD,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ] {
            let said = asked(method, "/", &[("host", "localhost:4000")]);
            assert_eq!(said, Some(StatusCode::METHOD_NOT_ALLOWED));
        }
    }

    #[test]
    fn pages_from_elsewhere_may_link_and_not_read() {
        let from = |mode| {
            let headers = [
                ("host", "localhost:4000"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", mode),
            ];
            asked(Method::GET, "/", &headers)
        };
        assert_eq!(from("navigate"), None);
        assert_eq!(from("no-cors"), Some(StatusCode::FORBIDDEN));
    }
}
