//! TLS, basic auth and the rest of the web configuration file, asked by curl and by Debian's Prometheus.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use blooio_exporter::simulator;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::chain::prometheus::Prometheus;
use crate::support::{Exporter, Simulated, ask, eventually, get, program, wall_clock};

pub(crate) const SERVER: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;
pub(crate) const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;

pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key in PEM.
    pub(crate) fn sign(
        &self,
        name: &str,
        purpose: ExtendedKeyUsagePurpose,
        expired: bool,
    ) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
        params.extended_key_usages = vec![purpose];
        params.distinguished_name.push(DnType::CommonName, name);
        if expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A folder with a web configuration and everything that it and its clients need.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    pub(crate) authority: Authority,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        let authority = Authority::new("authority");
        let folder = Folder { folder: tempfile::tempdir().unwrap(), authority };
        let elsewhere = Authority::new("elsewhere");
        folder.write("ca.pem", &folder.authority.pem);
        folder.pair("server", &folder.authority, SERVER, false);
        folder.pair("scraper", &folder.authority, CLIENT, false);
        folder.pair("other", &folder.authority, CLIENT, false);
        folder.pair("expired", &folder.authority, CLIENT, true);
        folder.pair("stranger", &elsewhere, CLIENT, false);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        // As a careful administrator does: never half a file in its place.
        std::fs::write(self.path("new"), content).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    pub(crate) fn pair(
        &self,
        name: &str,
        authority: &Authority,
        purpose: ExtendedKeyUsagePurpose,
        expired: bool,
    ) {
        let (certificate, key) = authority.sign(name, purpose, expired);
        self.write(&format!("{name}.pem"), &certificate);
        self.write(&format!("{name}.key"), &key);
    }

    /// Starts a simulator and an exporter of it with this web configuration.
    pub(crate) fn start(&self, config: &str) -> (Simulated, Exporter) {
        self.write("web.yml", config);
        let simulated = Simulated::start(simulator::scenario("steady").unwrap().world(7, wall_clock()));
        let path = self.path("web.yml").display().to_string();
        let exporter = Exporter::start(&simulated, &["--web.config.file", &path]);
        (simulated, exporter)
    }

    /// Asks by curl over TLS, verifying the server.
    pub(crate) fn curl(&self, exporter: &Exporter, path: &str, more: &[&str]) -> Curled {
        let url = format!("https://{}{path}", exporter.address());
        curl(&[&["--cacert", &self.path("ca.pem").display().to_string()], more, &[&url]].concat())
    }

    /// The arguments with which curl shows a certificate of this folder.
    pub(crate) fn certificate(&self, name: &str) -> [String; 4] {
        let file = |end: &str| self.path(&format!("{name}.{end}")).display().to_string();
        ["--cert".to_owned(), file("pem"), "--key".to_owned(), file("key")]
    }
}

#[derive(Debug)]
pub(crate) struct Curled {
    /// 0 where there was no answer.
    pub(crate) status: u16,
    pub(crate) body: String,
    /// What it said on the way, answer headers included.
    pub(crate) said: String,
}

pub(crate) fn curl(arguments: &[&str]) -> Curled {
    let output = Command::new("curl")
        .args(["-sSv", "--noproxy", "*", "--path-as-is", "--max-time", "60", "-w", "\n%{http_code}"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("Debian's curl; ./check installs it");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    Curled {
        status: status.parse().unwrap(),
        body: body.to_owned(),
        said: String::from_utf8_lossy(&output.stderr).to_lowercase(),
    }
}

pub(crate) fn strings(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

pub(crate) const TLS: &str = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";

pub(crate) fn user(name: &str, password: &str) -> String {
    format!("  {name}: {}\n", bcrypt::hash(password, 4).unwrap().replacen("$2b$", "$2y$", 1))
}

/// Runs a command of the program that ends by itself; its exit code and what it complained of.
pub(crate) fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = program().args(arguments).env("BLOOIO_API_KEY", "bl_live_SIMULATED").output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

pub(crate) fn healthcheck(exporter: &Exporter) -> (Option<i32>, String) {
    run(&["healthcheck", "--web.listen-address", &exporter.address().to_string()])
}

pub(crate) fn ready(exporter: &Exporter) {
    eventually("readiness", || (healthcheck(exporter).0 == Some(0)).then_some(()));
}

#[test]
fn passwords() {
    let folder = Folder::new();
    let long = "a".repeat(72);
    let users = user("one", "secret") + &user("two", "a:b") + &user("long", &format!("{long}SAME"));
    let headers = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n    \
                   Content-Security-Policy: default-src 'self'\n";
    let config = format!("{headers}basic_auth_users:\n{users}auth_excluded_paths: [/-/healthy, /-/ready]\n");
    let (_simulated, exporter) = folder.start(&config);
    let url = |path: &str| format!("http://{}{path}", exporter.address());
    let as_user = |credentials: &str| curl(&["-u", credentials, &url("/metrics")]);

    // Twice: the second time what was found is remembered.
    for _ in 0..2 {
        for credentials in ["one:secret", "two:a:b"] {
            let answer = as_user(credentials);
            assert_eq!(answer.status, 200, "{credentials}: {answer:?}");
            assert!(answer.body.contains("blooio_up{") && answer.said.contains("x-frame-options: deny"));
            assert!(answer.said.contains("content-security-policy: default-src 'self'"), "{}", answer.said);
        }
        for credentials in [
            "one:wrong",
            "one:",
            "two:a",
            "two:a:",
            "two:a:b:",
            "two\u{3a}a:bb",
            "three:secret",
            ":",
            "One:secret",
        ] {
            let answer = as_user(credentials);
            assert_eq!(answer.status, 401, "{credentials}");
            assert!(!answer.body.contains("blooio_"), "{credentials}");
            assert!(answer.said.contains("www-authenticate: basic realm="), "{}", answer.said);
            assert!(answer.said.contains("x-frame-options: deny"), "{}", answer.said);
        }
    }
    // bcrypt itself does not see past 72 bytes: the hash is that of the first 72, and of nothing longer.
    for (end, status) in [("SAME", 401), ("DIFF", 401), ("", 200)] {
        assert_eq!(as_user(&format!("long:{long}{end}")).status, status);
    }
    for path in ["/", "/metrics", "/nothing"] {
        assert_eq!(curl(&[&url(path)]).status, 401, "{path}");
    }
    for header in ["Authorization: Bearer one:secret", "Authorization: Basic !!!", "Authorization: Basic"] {
        assert_eq!(curl(&["-H", header, &url("/metrics")]).status, 401, "{header}");
    }

    ready(&exporter);
    for path in ["/-/healthy", "/-/ready", "/-/ready?name=value"] {
        assert_eq!(curl(&[&url(path)]).status, 200, "{path}");
    }
    for path in [
        "//metrics",
        "/-/ready/../../metrics",
        "/-/ready/../../../metrics",
        "/-/ready/",
        "/-/ready//metrics",
        "/-/ready;/metrics",
        "/-/ready%2f..%2f..%2fmetrics",
        "/%2d/ready",
        "/-/Ready",
        "/-/readymetrics",
        "/-/./ready",
        "//-/ready",
        "/metrics?/-/ready",
    ] {
        let answer = curl(&[&url(path)]);
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.body.contains("blooio_"), "{path}");
    }
    assert_eq!(get(exporter.address(), "http://x/metrics", &[]).status, 401);
    assert_eq!(get(exporter.address(), "http://x/-/ready/../../metrics", &[]).status, 401);

    let log = exporter.log();
    for secret in ["secret", "a:b", "$2y$", &long] {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}

#[test]
fn plain_http_on_a_port_that_serves_tls_is_told_so() {
    let folder = Folder::new();
    let (_simulated, exporter) = folder.start(&format!("{TLS}basic_auth_users:\n{}", user("one", "secret")));
    for (method, path) in [("GET", "/"), ("GET", "/metrics"), ("POST", "/-/reload"), ("OPTIONS", "*")] {
        let answer = ask(method, exporter.address(), path, &[]).unwrap();
        assert_eq!(answer.status, 400, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body, "this port speaks HTTPS; write https:// instead of http://\n");
    }
    let answer = curl(&[&format!("http://{}/metrics", exporter.address())]);
    assert_eq!((answer.status, answer.body.contains("https://")), (400, true), "{answer:?}");
    // The health check asks in plain HTTP first, and then over TLS.
    let (code, complaint) = healthcheck(&exporter);
    assert!(code == Some(1) && complaint.contains("requires authentication"), "{complaint}");
    // What is neither TLS nor HTTP gets no answer in HTTP.
    let mut stream = std::net::TcpStream::connect(exporter.address()).unwrap();
    std::io::Write::write_all(&mut stream, b"\x00nonsense\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut said);
    assert!(!said.starts_with(b"HTTP/"), "{said:?}");
}

#[test]
fn versions_of_tls() {
    let folder = Folder::new();
    let (_simulated, exporter) = folder.start(TLS);
    ready(&exporter);
    // At this level OpenSSL offers the old versions; it is the server that refuses.
    let old = ["--ciphers", "DEFAULT@SECLEVEL=0"];
    for version in ["1.0", "1.1"] {
        let answer = folder.curl(&exporter, "/metrics", &[&["--tls-max", version], &old[..]].concat());
        assert_eq!(answer.status, 0, "{answer:?}");
        assert!(
            answer.said.contains(&format!("tlsv{version} (out), tls handshake, client hello")),
            "{answer:?}"
        );
        assert!(answer.said.contains(&format!("tlsv{version} (in), tls alert")), "{answer:?}");
    }
    for (version, shown) in [("1.2", "ssl connection using tlsv1.2"), ("1.3", "ssl connection using tlsv1.3")]
    {
        let answer = folder.curl(&exporter, "/metrics", &["--tls-max", version]);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.said.contains(shown), "{}", answer.said);
        assert!(answer.body.contains("blooio_up{"));
    }
    // Plain HTTP gets nothing.
    assert!(!curl(&[&format!("http://{}/metrics", exporter.address())]).body.contains("blooio_"));

    let (_simulated, newest) = folder.start(&format!("{TLS}  min_version: TLS13\n"));
    let answer = folder.curl(&newest, "/metrics", &["--tls-max", "1.2"]);
    assert!(answer.status == 0 && answer.said.contains("alert protocol version"), "{answer:?}");
    assert_eq!(folder.curl(&newest, "/metrics", &[]).status, 200);

    let only = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    let more = format!("  max_version: TLS12\n  cipher_suites: [{only}]\n  curve_preferences: [CurveP384]\n");
    let (_simulated, choosy) = folder.start(&format!("{TLS}{more}"));
    let answer = folder.curl(&choosy, "/metrics", &[]);
    assert!(answer.said.contains("using tlsv1.2 / ecdhe-ecdsa-aes256-gcm-sha384"), "{}", answer.said);
    for more in [["--ciphers", "ECDHE-ECDSA-AES128-GCM-SHA256"], ["--curves", "X25519:P-256"]] {
        assert_eq!(folder.curl(&choosy, "/metrics", &more).status, 0, "{more:?}");
    }
    assert_eq!(folder.curl(&choosy, "/metrics", &["--curves", "P-384:P-256"]).status, 200);
}

#[test]
fn client_certificates() {
    let folder = Folder::new();
    let ask = |exporter: &Exporter, who: &str, path: &str, more: &[&str]| {
        let certificate = if who.is_empty() { Vec::new() } else { folder.certificate(who).to_vec() };
        folder.curl(exporter, path, &[&strings(&certificate)[..], more].concat())
    };
    let clients = "  client_ca_file: ca.pem\n  client_auth_type: ";
    let must = format!("{TLS}{clients}RequireAndVerifyClientCert\n");

    let (_simulated, exporter) = folder.start(&must);
    for version in ["1.2", "1.3"] {
        let version = ["--tls-max", version];
        for who in ["scraper", "other"] {
            assert_eq!(ask(&exporter, who, "/metrics", &version).status, 200, "{who}");
        }
        for who in ["", "stranger", "expired", "server"] {
            for path in ["/metrics", "/-/ready"] {
                let answer = ask(&exporter, who, path, &version);
                assert!(answer.status == 0 && !answer.body.contains("blooio_"), "`{who}`: {answer:?}");
            }
        }
    }
    let (code, complaint) = healthcheck(&exporter);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("auth_excluded_paths"), "{complaint}");

    let (_simulated, named) = folder.start(&format!("{must}  client_allowed_sans: [scraper, 10.1.2.3]\n"));
    assert_eq!(ask(&named, "scraper", "/metrics", &[]).status, 200);
    for who in ["", "other", "stranger"] {
        assert_eq!(ask(&named, who, "/metrics", &[]).status, 0, "`{who}`");
    }
    let (_simulated, address) = folder.start(&format!("{must}  client_allowed_sans: [127.0.0.1]\n"));
    assert_eq!(ask(&address, "other", "/metrics", &[]).status, 200);

    // Paths that ask for nothing can be had without a certificate, and nothing else can.
    let (_simulated, lenient) = folder.start(&format!("{must}auth_excluded_paths: [/-/ready]\n"));
    ready(&lenient);
    assert_eq!(ask(&lenient, "", "/-/ready", &[]).status, 200);
    for path in ["/metrics", "/", "/-/healthy", "/-/ready/../../metrics", "//metrics"] {
        let answer = ask(&lenient, "", path, &[]);
        assert!(answer.status == 401 && !answer.body.contains("blooio_"), "{path}: {answer:?}");
    }
    assert_eq!(ask(&lenient, "scraper", "/metrics", &[]).status, 200);
    for who in ["stranger", "expired"] {
        assert_eq!(ask(&lenient, who, "/metrics", &[]).status, 0, "{who}");
    }

    let (_simulated, given) = folder.start(&format!("{TLS}{clients}VerifyClientCertIfGiven\n"));
    for (who, status) in [("", 200), ("scraper", 200), ("stranger", 0), ("expired", 0)] {
        assert_eq!(ask(&given, who, "/metrics", &[]).status, status, "`{who}`");
    }
}

const SUCCESSFUL: &str = "blooio_exporter_web_config_last_reload_successful";

#[test]
fn files_that_change() {
    let folder = Folder::new();
    let users = |password: &str| format!("basic_auth_users:\n{}", user("one", password));
    let config = format!("{TLS}{}", users("first"));
    let (_simulated, exporter) = folder.start(&config);
    // The page, the certificate that the server showed, and the gauge.
    let ask = |password: &str| {
        let more = ["-u", &format!("one:{password}"), "-w", "%{certs}\n%{http_code}"];
        let answer = folder.curl(&exporter, "/metrics", &more);
        let gauge = answer.body.lines().find_map(|line| line.strip_prefix(SUCCESSFUL)?.strip_prefix(' '));
        let gauge = gauge.map(|value| value == "1");
        (answer.status, answer.body, gauge)
    };
    let certificate = |file: &str| std::fs::read_to_string(folder.path(file)).unwrap().replace('\r', "");
    let first = certificate("server.pem");
    let (status, body, gauge) = ask("first");
    assert_eq!((status, gauge), (200, Some(true)));
    assert!(body.contains(first.trim()), "{body}");

    // A new certificate, key after certificate: in between they do not fit, and the old pair stays.
    folder.pair("next", &folder.authority, SERVER, false);
    let next = certificate("next.pem");
    folder.write("server.pem", &next);
    eventually("the gauge falls", || {
        let (status, body, gauge) = ask("first");
        assert!(status == 200 && body.contains(first.trim()), "{body}");
        (gauge == Some(false)).then_some(())
    });
    folder.write("server.key", &certificate("next.key"));
    eventually("the new certificate is shown", || {
        let (status, body, gauge) = ask("first");
        assert_eq!(status, 200);
        (body.contains(next.trim()) && gauge == Some(true)).then_some(())
    });

    // A file that cannot be read, or that would open the door, changes nothing.
    for broken in [
        "not: what is wanted".to_owned(),
        "tls_server_config: [".to_owned(),
        String::new(),
        TLS.to_owned(),
        users("first"),
        format!("{TLS}  min_version: TLS11\n{}", users("first")),
    ] {
        folder.write("web.yml", &broken);
        eventually("the gauge falls", || (ask("first").2 == Some(false)).then_some(()));
        assert_eq!((ask("first").0, ask("other").0), (200, 401), "{broken}");
        folder.write("web.yml", &config);
        eventually("the gauge rises", || (ask("first").2 == Some(true)).then_some(()));
    }

    folder.write("web.yml", &format!("{TLS}{}", users("second")));
    eventually("the new password counts", || (ask("second").0 == 200).then_some(()));
    assert_eq!(ask("first").0, 401);
    let log = exporter.log();
    assert!(log.contains("would switch off TLS") && log.contains("would switch off basic auth"), "{log}");
    assert!(!log.contains("$2y$") && !log.contains("PRIVATE KEY"));
}

#[test]
fn the_rate_limit_counts_before_passwords_are_looked_at() {
    let folder = Folder::new();
    let limit = "rate_limit: {interval: 1h, burst: 3}\n";
    let (_simulated, exporter) =
        folder.start(&format!("{limit}basic_auth_users:\n{}", user("one", "secret")));
    let statuses: Vec<u16> = (0..5).map(|_| get(exporter.address(), "/metrics", &[]).status).collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
    let url = format!("http://{}/metrics", exporter.address());
    let answer = curl(&["-u", "one:secret", &url]);
    assert!(answer.status == 429 && answer.said.contains("retry-after: 3600"), "{answer:?}");
}

#[test]
fn prometheus_scrapes_over_tls_with_a_certificate_and_a_password() {
    let folder = Folder::new();
    let clients = "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n  \
                   client_allowed_sans: [scraper]\n";
    let (_simulated, exporter) =
        folder.start(&format!("{TLS}{clients}basic_auth_users:\n{}", user("prometheus", "se:cret")));
    let job = |name: &str, who: &str, password: &str| {
        let file = |name: &str| folder.path(name).display().to_string();
        format!(
            "job_name: {name}, scheme: https, basic_auth: {{username: prometheus, password: '{password}'}}, \
             tls_config: {{ca_file: '{}', cert_file: '{}', key_file: '{}'}}, \
             static_configs: [{{targets: ['{}']}}]",
            file("ca.pem"),
            file(&format!("{who}.pem")),
            file(&format!("{who}.key")),
            exporter.address()
        )
    };
    let jobs = [
        job("good", "scraper", "se:cret"),
        job("password", "scraper", "wrong"),
        job("certificate", "other", "se:cret"),
    ];
    let prometheus = Prometheus::scraping(&jobs.join("}, {"));
    eventually("Prometheus has scraped", || {
        (prometheus.query("sum(blooio_up{job=\"good\"})") == Some(1.0)).then_some(())
    });
    assert_eq!(prometheus.query("up{job=\"good\"}"), Some(1.0));
    for name in ["password", "certificate"] {
        eventually("a scrape that is refused", || {
            (prometheus.query(&format!("up{{job=\"{name}\"}}")) == Some(0.0)).then_some(())
        });
    }
    assert_eq!(prometheus.query("count by (job) (blooio_up)"), Some(1.0));
    assert_eq!(prometheus.query("count(blooio_up)"), Some(1.0));
}

#[test]
fn a_health_check_needs_to_know_nothing() {
    let folder = Folder::new();
    for config in [
        "{} # nothing\n".to_owned(),
        TLS.to_owned(),
        format!("{TLS}basic_auth_users:\n{}auth_excluded_paths: [/-/ready]\n", user("one", "secret")),
    ] {
        let (_simulated, exporter) = folder.start(&config);
        ready(&exporter);
    }
    let (_simulated, exporter) = folder.start(&format!("{TLS}basic_auth_users:\n{}", user("one", "secret")));
    let (code, complaint) = healthcheck(&exporter);
    assert_eq!(code, Some(1));
    assert!(complaint.contains("auth_excluded_paths"), "{complaint}");
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_at_start_and_at_the_check() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name).display().to_string();
    folder.write("none.pem", "nothing in here\n");
    let clients = |file: &str| {
        format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {file}\n")
    };
    for (config, says) in [
        (format!("{TLS}  min_version: TLS11\n"), "web.yml:4: min_version: versions older than TLS 1.2"),
        (format!("{TLS}  ciphers: []\n"), "web.yml:4: unknown key `ciphers`"),
        ("http_server_config: {http2: true}\n".to_owned(), "web.yml:1: http2: HTTP/2 is not supported"),
        (TLS.replace("server.pem", "missing.pem"), "missing.pem: cannot be read: No such file"),
        (TLS.replace("server.key", "none.pem"), "none.pem: holds no private key"),
        (TLS.replace("server.pem", "none.pem"), "none.pem: holds no certificate"),
        (TLS.replace("server.key", "other.key"), "server.pem: the key is not that of this certificate"),
        (clients("none.pem"), "none.pem: holds no certificate"),
        ("basic_auth_users: {one: secret}\n".to_owned(), "web.yml:1: basic_auth_users: not a bcrypt hash"),
    ] {
        folder.write("web.yml", &config);
        let (state, web) = (path("state.db"), path("web.yml"));
        let common =
            ["--web.config.file", &web, "--state.path", &state, "--web.listen-address", "127.0.0.1:0"];
        for arguments in [&common[..], &[&["--config.check"], &common[..]].concat()] {
            let (code, complaint) = run(arguments);
            assert_eq!(code, Some(1), "{config}");
            assert!(complaint.contains("--web.config.file: ") && complaint.contains(says), "{complaint}");
            assert!(!complaint.contains("one: secret"), "{complaint}");
        }
        assert!(!Path::new(&state).exists(), "refused before the state is made");
    }
    let (code, complaint) = run(&["--config.check", "--web.config.file", &path("nowhere.yml")]);
    assert!(code == Some(1) && complaint.contains("nowhere.yml: cannot be read"), "{complaint}");
    folder.write("web.yml", TLS);
    let check = ["--config.check", "--web.listen-address=127.0.0.1:0", "--web.config.file", &path("web.yml")];
    assert_eq!(run(&check).0, Some(0));
}
