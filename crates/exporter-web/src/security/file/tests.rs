//! The web configuration file: what is accepted, what is rejected, and the messages.

use super::*;

const HASH: &str = "$2y$04$k3zHFtpYlzMHzVpOsV8AaeAkF.kPh0mbNMwMgKAFZ4kAyxKTLKrWO";

fn parsed(text: &str) -> Result<WebConfig, String> {
    WebConfig::parse(Path::new("/etc/web.yml"), text).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(text: &str, says: &str) {
    let error = parsed(text).unwrap_err();
    assert!(error.starts_with("/etc/web.yml:") && error.contains(says), "{error}");
    assert!(!error.contains("canary") && error.lines().count() == 1, "{error}");
}

#[test]
fn everything_that_is_supported_is_understood() {
    let config = parsed(&format!(
        "tls_server_config:\n  cert_file: a.crt\n  key_file: /keys/a.key\n  client_ca_file: ca.crt\n  \
         client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: [one, 10.0.0.1]\n  \
         min_version: TLS12\n  max_version: TLS13\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n  \
         prefer_server_cipher_suites: false\n  curve_preferences: [CurveP384, X25519]\n\
         http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n    \
         Strict-Transport-Security: max-age=1\n    X-XSS-Protection: ''\n\
         basic_auth_users:\n  one: {HASH}\n  two: {HASH}\n\
         rate_limit: {{interval: 500ms, burst: 20}}\n\
         auth_excluded_paths: [/-/healthy, /-/ready]\n"
    ))
    .unwrap();
    let tls = config.tls.as_ref().unwrap();
    let paths = ["/etc/a.crt", "/keys/a.key", "/etc/ca.crt"].map(PathBuf::from);
    assert_eq!(config.files(), paths);
    let clients = tls.clients.as_ref().unwrap();
    assert!(clients.required && !tls.server_order);
    assert_eq!(clients.allowed_names.as_deref(), Some(&["one".to_owned(), "10.0.0.1".to_owned()][..]));
    assert!(tls.curves == [Curve::P384, Curve::X25519]);
    assert_eq!(config.headers.len(), 2);
    assert_eq!(config.users["one"].cost, 4);
    assert!(config.rate == Some(Rate { interval: Duration::from_millis(500), burst: 20 }));
    assert_eq!(config.excluded_paths, ["/-/healthy", "/-/ready"]);
}

#[test]
fn a_file_that_protects_nothing_has_to_say_so() {
    for text in ["{}", "# on purpose\n{}\n", "---\n{} # on purpose\n"] {
        let config = parsed(text).unwrap();
        assert!(config.tls.is_none() && config.users.is_empty() && config.rate.is_none(), "{text}");
    }
    for text in [
        "",
        "\n \n",
        "# only\n# comments\n",
        "---\n",
        "null\n",
        "~",
        "tls_server_config:\n",
        "basic_auth_users:\n",
        "rate_limit:\n",
        "http_server_config:\n",
        "tls_server_config: {}\nbasic_auth_users: {}\n",
        "http_server_config: {headers: {}}\n",
        "rate_limit: {interval: 0, burst: 20}\n",
        "rate_limit: {interval: 0s}\n",
    ] {
        refused(text, "protects nothing");
    }
    // An empty section beside one that is not.
    for empty in
        ["basic_auth_users:\n", "basic_auth_users: {}\n", "tls_server_config:\n", "tls_server_config: {}\n"]
    {
        refused(&format!("rate_limit: {{interval: 1s, burst: 2}}\n{empty}"), "is empty and protects nothing");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_line() {
    let tls = |more: &str| format!("tls_server_config:\n  cert_file: a\n  key_file: b\n  {more}\n");
    for version in ["TLS10", "TLS11"] {
        refused(&tls(&format!("min_version: {version}")), "4: min_version: versions older than TLS 1.2");
    }
    refused(&tls("max_version: SSL3"), "4: max_version: not one of TLS12, TLS13");
    refused(&tls("max_version: TLS12\n  min_version: TLS13"), "min_version is above max_version");
    refused(
        &tls("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA]"),
        "4: cipher_suites: not supported; choose from",
    );
    refused(&tls("cipher_suites: [TLS_AES_128_GCM_SHA256]"), "4: cipher_suites: those of TLS 1.3");
    refused(
        &tls("min_version: TLS13\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]"),
        "5: cipher_suites are those of TLS 1.2",
    );
    refused(&tls("curve_preferences: [CurveP521]"), "4: curve_preferences: not supported; choose from");
    refused(
        &tls("prefer_server_cipher_suites: maybe"),
        "4: prefer_server_cipher_suites: write true or false",
    );
    for kind in ["RequestClientCert", "RequireAnyClientCert", "RequireClientCert"] {
        refused(&tls(&format!("client_auth_type: {kind}")), "4: client_auth_type: this one accepts");
    }
    refused(&tls("client_auth_type: canary"), "4: client_auth_type: not one of");
    refused(&tls("client_auth_type: RequireAndVerifyClientCert"), "needs client_ca_file");
    refused(&tls("client_ca_file: ca"), "client_ca has no effect");
    refused(
        &tls(
            "client_ca_file: ca\n  client_auth_type: VerifyClientCertIfGiven\n  client_allowed_sans: [canary]",
        ),
        "6: client_allowed_sans needs",
    );
    refused(
        &tls("client_ca_file: ca\n  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: []"),
        "an empty list",
    );
    refused(&tls("cert: canary"), "4: give cert or cert_file, not both");
    refused("tls_server_config: {cert_file: a}\n", "add key_file, or key");
    refused("tls_server_config: {min_version: TLS13}\n", "add cert_file, or cert");
    refused("http_server_config:\n  http2: true\n", "2: http2: HTTP/2 is not supported");
    refused("http_server_config:\n  headers:\n    Server: canary\n", "3: unknown key `Server`");
    refused("http_server_config:\n  headers:\n    X-Frame-Options: canary\n", "deny or sameorigin");
    refused("http_server_config:\n  headers:\n    X-Content-Type-Options: canary\n", "nosniff");
    refused("http_server_config:\n  headers:\n    X-XSS-Protection: \"canary\\n\"\n", "no header can");
    refused("rate_limit: {interval: 1s}\n", "a burst of 0");
    refused("rate_limit: {burst: 3}\n", "without interval");
    refused("rate_limit: {interval: canary, burst: 3}\n", "not a duration");
    refused("rate_limit: {interval: 1s, burst: -3}\n", "not a whole number");
    refused(
        "tls_config: {}\n",
        "1: unknown key `tls_config`; known here: auth_excluded_paths, basic_auth_users",
    );
}

#[test]
fn hashes_that_cannot_be_checked_are_refused_without_being_shown() {
    let hash = |from: &str, to: &str| format!("basic_auth_users:\n  one: {}\n", HASH.replace(from, to));
    for good in ["$2y$", "$2b$", "$2a$"] {
        assert!(parsed(&hash("$2y$", good)).is_ok());
    }
    refused(&hash("$2y$", "$2x$"), "2: basic_auth_users: not a bcrypt hash");
    refused(&hash("$04$", "$03$"), "2: basic_auth_users: not a bcrypt hash");
    refused(&hash("$04$", "$15$"), "2: basic_auth_users: cost 15");
    refused(&hash("WO", "canary"), "2: basic_auth_users: not a bcrypt hash");
    refused("basic_auth_users:\n  one: canary\n", "2: basic_auth_users: not a bcrypt hash");
    refused(&format!("basic_auth_users:\n  'one:two': {HASH}\n"), "2: basic_auth_users: no browser");
    refused(&format!("basic_auth_users:\n  one: {HASH}\n  one: {HASH}\n"), "given twice");
    refused("basic_auth_users: canary\n", "expected here");
    refused("basic_auth_users: [canary]\n", "expected here");
    refused("basic_auth_users: {one: [canary]}\n", "expected here");
    refused("tls_server_config: {key: {canary: canary}}\n", "expected here");
}

#[test]
fn excluded_paths_are_whole_and_plain() {
    let paths = |path: &str| format!("basic_auth_users:\n  one: {HASH}\nauth_excluded_paths: ['{path}']\n");
    for good in ["/", "/-/ready", "/metrics"] {
        assert!(parsed(&paths(good)).is_ok(), "{good}");
    }
    for bad in ["", "-/ready", "/-/*", "/-/", "//metrics", "/-/ready/../metrics", "/%2d/ready", "/a?b", "/."]
    {
        refused(&paths(bad), "3: auth_excluded_paths: not a whole path");
    }
    refused("auth_excluded_paths: [/-/ready]\n", "nothing to be excluded from");
}
