//! The addresses that are answered.

/// What an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The page of all that is watched.
    Home,
    /// The page of a run.
    Run(u64),
    /// The report of a run, or the results of a campaign, as it lies in its folder.
    Report(u64),
}

impl Route {
    /// The route of a path, if it is one; nothing in it is decoded.
    pub(super) fn of(path: &str) -> Option<Self> {
        if path == "/" {
            return Some(Self::Home);
        }
        let rest = path.strip_prefix('/')?;
        match rest.split_once('/') {
            None => Some(Self::Run(number(rest)?)),
            Some((run, "report.html")) => Some(Self::Report(number(run)?)),
            Some(_) => None,
        }
    }
}

/// The path of the page of a run.
pub(super) fn path_of(number: u64) -> String {
    format!("/{number:016x}")
}

fn number(text: &str) -> Option<u64> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 16 || !text.bytes().all(is_digit) {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}

/// The revision that a page has, of a query `since=REVISION`.
pub(super) fn since(query: Option<&str>) -> Option<&str> {
    query?
        .split('&')
        .find_map(|part| part.strip_prefix("since="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_their_paths() {
        assert_eq!(Route::of("/"), Some(Route::Home));
        assert_eq!(Route::of(&path_of(255)), Some(Route::Run(255)));
        assert_eq!(
            Route::of("/00000000000000ff/report.html"),
            Some(Route::Report(255))
        );
        assert_eq!(since(Some("a=b&since=12")), Some("12"));
        assert_eq!(since(None), None);
    }

    #[test]
    fn nothing_else_is_answered() {
        for path in [
            "",
            "//",
            "/..",
            "/etc/passwd",
            "/../etc/passwd",
            "/%2e%2e/etc/passwd",
            "/00000000000000FF",
            "/00000000000000ff/",
            "/00000000000000ff/recipe.toml",
            "/00000000000000ff/../report.html",
            "/00000000000000ff/report.html/",
            "/+0000000000000ff",
            "/ff",
            "/favicon.ico",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
