//! The paths of the web server: which pages have one of their own, and which the metrics page may have.

/// Path of the status page.
pub const STATUS: &str = "/";
/// The reference of the metrics.
pub const REFERENCE: &str = "/reference";
/// Where the program is asked how it is, and told what to do. Nothing else is below.
const MANAGEMENT: &str = "/-";

/// Longest path of the metrics page, in bytes.
const MAX_LENGTH: usize = 200;

/// Whether the metrics page may have this path; the error is the rest of a sentence that begins with the path.
///
/// # Errors
/// Says why not.
pub fn check_telemetry_path(path: &str) -> Result<(), &'static str> {
    let is_managed =
        path.strip_prefix(MANAGEMENT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if path == STATUS || path == REFERENCE || is_managed {
        return Err("belongs to another page; take a path such as /metrics");
    }
    check_plain(path)
}

/// Whether a path is plain: it begins with `/`, and what stands between single slashes needs no encoding.
///
/// # Errors
/// Says why not; the rest of a sentence that begins with the path.
pub fn check_plain(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("must begin with `/`");
    }
    if path.len() > MAX_LENGTH {
        return Err("is longer than 200 characters; shorten it");
    }
    let is_plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b));
    if !is_plain || path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err("is not a plain path; letters, digits and -._~ between single slashes are allowed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_telemetry_path as check;

    #[test]
    fn a_path_is_plain_and_belongs_to_no_other_page() {
        for path in ["/metrics", "/m", "/a/b", "/-metrics", "/references", "/~a._-"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "metrics",
            "/",
            "/-",
            "/-/healthy",
            "/-/anything",
            "/reference",
            "//",
            "/a/",
            "/a//b",
            "/..",
            "/{a}",
            "/a b",
            "/ä",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
    }
}
