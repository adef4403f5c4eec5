//! Files that would take protection away: at a reload, at a restart, while they are written, and with the time.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::process::security::{CLIENT, Folder, TLS, run, strings, user};
use crate::support::{Exporter, eventually, get};

/// Starts with `config`, then writes `weaker`: it must be reported and not followed.
fn stays(folder: &Folder, config: &str, weaker: &str, lost: &str) {
    let (_simulated, exporter) = folder.start(config);
    folder.write("web.yml", weaker);
    eventually(&format!("{lost} is kept"), || exporter.log().contains(lost).then_some(()));
    assert!(!exporter.log().contains("web configuration applied"), "{weaker}");
}

#[test]
fn a_reload_never_weakens_protection() {
    let folder = Folder::new();
    let users = format!("basic_auth_users:\n{}", user("one", "secret"));
    let clients = "  client_ca_file: ca.pem\n  client_auth_type: ";
    let must = format!("{TLS}{clients}RequireAndVerifyClientCert\n");
    let header =
        |name: &str, value: &str| format!("{users}http_server_config: {{headers: {{{name}: {value}}}}}\n");
    let cases = [
        (format!("{TLS}{users}"), users.clone(), "TLS"),
        (format!("{TLS}  min_version: TLS13\n"), TLS.to_owned(), "min_version"),
        (TLS.to_owned(), format!("{TLS}  max_version: TLS12\n"), "max_version"),
        (
            format!("{TLS}  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n"),
            TLS.to_owned(),
            "the restriction of cipher_suites",
        ),
        (
            format!("{TLS}  curve_preferences: [CurveP384]\n"),
            TLS.to_owned(),
            "the restriction of curve_preferences",
        ),
        (must.clone(), format!("{TLS}{clients}VerifyClientCertIfGiven\n"), "client certificates"),
        (format!("{TLS}{clients}VerifyClientCertIfGiven\n"), TLS.to_owned(), "client certificates"),
        (format!("{must}  client_allowed_sans: [scraper]\n"), must.clone(), "client_allowed_sans"),
        (format!("{TLS}{users}"), TLS.to_owned(), "basic auth"),
        (users.clone(), format!("{users}auth_excluded_paths: [/metrics]\n"), "auth_excluded_paths"),
        (format!("{users}rate_limit: {{interval: 1s, burst: 50}}\n"), users.clone(), "rate_limit"),
        (
            format!("{users}rate_limit: {{interval: 1s, burst: 50}}\n"),
            format!("{users}rate_limit: {{interval: 1s, burst: 51}}\n"),
            "rate_limit",
        ),
        (header("Strict-Transport-Security", "max-age=9"), users.clone(), "a response header"),
        (
            header("Strict-Transport-Security", "max-age=9"),
            header("Strict-Transport-Security", "max-age=0"),
            "Strict-Transport-Security",
        ),
        (
            header("Strict-Transport-Security", "max-age=9; includeSubDomains; preload"),
            header("Strict-Transport-Security", "max-age=9; preload"),
            "Strict-Transport-Security",
        ),
        (
            header("Strict-Transport-Security", "max-age=9"),
            header("Strict-Transport-Security", "max-age=9; max-age=0"),
            "Strict-Transport-Security",
        ),
        (
            header("X-Frame-Options", "deny"),
            header("X-Frame-Options", "sameorigin"),
            "the value of a response header",
        ),
        (
            header("Content-Security-Policy", "default-src 'none'"),
            header("Content-Security-Policy", "default-src *"),
            "the value of a response header",
        ),
        (
            header("X-XSS-Protection", "1; mode=block"),
            header("X-XSS-Protection", "0"),
            "the value of a response header",
        ),
        (format!("{TLS}{users}"), "{}\n".to_owned(), "TLS"),
    ];
    let count = cases.len();
    for (config, weaker, lost) in cases {
        stays(
            &folder,
            &config,
            &weaker,
            &format!("would switch off {lost}")
                .replace("off auth", "off the protection of a path (auth")
                .replace("off rate", "off a part of rate"),
        );
    }
    println!("reloads that weaken: {count} tried, 0 followed");
}

#[test]
fn a_blank_file_is_rejected_unless_it_says_that_it_is_meant() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name).display().to_string();
    let forms = [
        "",
        "\n",
        "   \n",
        "# comment\n",
        "---\n",
        "null\n",
        "~\n",
        "tls_server_config:\n",
        "basic_auth_users:\n",
        "basic_auth_users: {}\n",
        "http_server_config: {}\n",
        "rate_limit:\n",
        "auth_excluded_paths: []\n",
    ];
    for form in forms {
        folder.write("web.yml", form);
        for check in [&["--config.check"][..], &[]] {
            let (state, web) = (path("state.db"), path("web.yml"));
            let common =
                ["--web.config.file", &web, "--state.path", &state, "--web.listen-address", "127.0.0.1:0"];
            let (code, complaint) = run(&[check, &common[..]].concat());
            assert_eq!(code, Some(1), "{form:?}");
            assert!(complaint.contains("protects nothing") && complaint.contains("write {}"), "{complaint}");
        }
    }
    println!("blank web configurations: {} tried, 0 accepted", forms.len());
    folder.write("web.yml", "{} # on purpose\n");
    let check = ["--config.check", "--web.listen-address=127.0.0.1:0", "--web.config.file", &path("web.yml")];
    assert_eq!(run(&check).0, Some(0));
}

#[test]
fn truncated_files_are_never_followed() {
    let folder = Folder::new();
    let whole = format!(
        "{TLS}  min_version: TLS13\nbasic_auth_users:\n{}rate_limit: {{interval: 1ms, burst: 90000}}\n",
        user("one", "secret")
    );
    let (_simulated, exporter) = folder.start(&whole);
    let (mut tried, step) = (0, whole.len() / 40);
    for length in (0..whole.len() - 3).step_by(step.max(1)) {
        std::fs::write(folder.path("web.yml"), &whole[..length]).unwrap();
        std::thread::sleep(Duration::from_millis(150));
        let answer = folder.curl(&exporter, "/metrics", &["--tls-max", "1.2"]);
        assert_eq!(answer.status, 0, "TLS 1.2 after {length} bytes");
        assert_eq!(folder.curl(&exporter, "/metrics", &[]).status, 401, "after {length} bytes");
        tried += 1;
    }
    assert!(!exporter.log().contains("web configuration applied"), "{}", exporter.log());
    println!("truncated web configurations: {tried} tried, 0 followed");
}

#[test]
fn a_file_of_many_certificates_is_rejected_and_costs_no_memory() {
    let folder = Folder::new();
    let config = format!("{TLS}  client_ca_file: many.pem\n  client_auth_type: RequireAndVerifyClientCert\n");
    let authority = &folder.authority.pem;
    let check = |content: &str| {
        folder.write("many.pem", content);
        let web = super::show(&folder.path("web.yml"));
        run(&["--config.check", "--web.listen-address=127.0.0.1:0", "--web.config.file", &web])
    };
    folder.write("web.yml", &config);
    let (code, said) = check(&authority.repeat(100));
    assert_eq!(code, Some(0), "{said}");

    folder.write("many.pem", authority);
    let (_simulated, exporter) = folder.start(&config);
    let ask = || folder.curl(&exporter, "/metrics", &strings(&folder.certificate("scraper")));
    // The page, once it says how the newest reading went.
    let seen = |successful: &str| {
        crate::support::eventually("the reading of the files", || {
            let page = ask();
            assert_eq!(page.status, 200, "{}", page.said);
            let line = format!("blooio_exporter_web_config_last_reload_successful {successful}");
            page.body.lines().any(|shown| shown == line).then_some(page)
        })
    };
    let resident = |page: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let fill = |unit: &str| unit.repeat((1 << 20) / unit.len());
    let mut tried = 0;
    for content in [
        authority.repeat(101),
        fill(authority),
        fill(empty),
        fill("-----BEGIN CERTIFICATE-----\n"),
        fill("A"),
    ] {
        let (code, said) = check(&content);
        assert_eq!(code, Some(1), "{said}");
        let page = seen("0");
        folder.write("many.pem", authority);
        seen("1");
        assert!(resident(&page.body) < 64.0 * f64::from(1 << 20), "{}", resident(&page.body));
        tried += 1;
    }
    println!("files of many certificates: {tried} tried, none followed");
}

#[test]
fn an_authority_that_has_expired_admits_nobody() {
    let folder = Folder::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "expired authority");
    params.not_after = date_time_ymd(2021, 1, 1);
    let expired = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let (client_key, mut client) =
        (KeyPair::generate().unwrap(), CertificateParams::new(vec!["late".to_owned()]).unwrap());
    client.extended_key_usages = vec![CLIENT];
    folder.write("late.pem", &client.signed_by(&client_key, &issuer).unwrap().pem());
    folder.write("late.key", &client_key.serialize_pem());
    let config = format!("{TLS}  client_ca_file: both.pem\n  client_auth_type: RequireAndVerifyClientCert\n");

    folder.write("both.pem", &expired);
    folder.write("web.yml", &config);
    let (code, complaint) =
        run(&["--config.check", "--web.config.file", &super::show(&folder.path("web.yml"))]);
    assert!(code == Some(1) && complaint.contains("expired"), "{complaint}");

    folder.write("both.pem", &format!("{expired}{}", folder.authority.pem));
    let (_simulated, exporter) = folder.start(&config);
    let ask = |who: &str| folder.curl(&exporter, "/metrics", &strings(&folder.certificate(who)));
    assert_eq!(ask("late").status, 0);
    let page = ask("scraper");
    assert_eq!(page.status, 200, "{}", page.said);
    let expiry = |role: &str, position: u32| {
        let name = "blooio_exporter_web_certificate_expiry_timestamp_seconds";
        let start = format!("{name}{{role=\"{role}\",position=\"{position}\"}} ");
        page.body.lines().find_map(|line| line.strip_prefix(&start)).unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(expiry("client_ca", 1), 1_609_459_200.0);
    assert!(expiry("client_ca", 2) > 4e9 && expiry("server", 1) > 4e9);
}

#[test]
fn configuration_and_web_configuration_are_taken_together_or_not_at_all() {
    let folder = Folder::new();
    let simulated = super::simulated();
    let web = super::show(&folder.path("web.yml"));
    folder.write("web.yml", "rate_limit: {interval: 1ms, burst: 1000}\n");
    let line = simulated.world().lines().remove(0);
    let config = |alias: &str| {
        folder
            .write("config.yml", &format!("lines: {{\"{line}\": {alias}}}\nweb: {{config_file: web.yml}}\n"));
    };
    config("before");
    let exporter = Exporter::start(
        &simulated,
        &["--config.file", &super::show(&folder.path("config.yml")), "--web.config.file", &web],
    );
    let named =
        |name: &str| get(exporter.address(), "/metrics", &[]).body.contains(&format!("line=\"{name}\""));
    eventually("the line", || named("before").then_some(()));
    config("after");
    folder.write("web.yml", "{}\n");
    exporter.signal("-HUP");
    eventually("the refusal", || exporter.log().contains("configuration not applied").then_some(()));
    assert!(
        named("before") && !named("after"),
        "accounts were changed although the web configuration was not"
    );
    folder.write("web.yml", "rate_limit: {interval: 1ms, burst: 900}\n");
    exporter.signal("-HUP");
    eventually("both", || named("after").then_some(()));
}
