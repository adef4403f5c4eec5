//! Precedence, defaults and checks of the settings, and the messages of those that are rejected.

use std::path::Path;

use super::*;

const KEY: &[(&str, &str)] = &[("BLOOIO_API_KEY", "blo_canary")];

fn resolve(flags: Flags, env: &[(&str, &str)], yaml: Option<&str>) -> Result<Settings, String> {
    let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let file = yaml.map(|text| (Path::new("/etc/blooio/b.yml"), text));
    Settings::resolve(&flags, &env, file).map_err(|error| error.to_string())
}

fn from_yaml(yaml: &str) -> Result<Settings, String> {
    resolve(Flags::default(), KEY, Some(yaml))
}

fn refused(flags: Flags) -> String {
    resolve(flags, KEY, None).unwrap_err()
}

fn given(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_key_is_all_that_has_to_be_given() {
    let settings = resolve(Flags::default(), KEY, None).unwrap();
    assert_eq!(settings.state_path, Path::new("blooio-exporter.db"));
    assert_eq!(settings.web, Web::default());
    assert_eq!(settings.log, Log { level: LogLevel::Info, format: LogFormat::Logfmt });
    let [account] = &settings.accounts[..] else { panic!("one account") };
    assert_eq!(account.name, "default");
    assert_eq!(account.base_url.as_str(), "https://api.blooio.com/v2/api");
    assert_eq!(account.collector, CollectorSettings::default());
    assert_eq!(account.collector.retention, Duration::from_secs(604_800));
    assert_eq!(account.probe, Probe::default());
    assert_eq!(account.api, Api { budget: 2.0, timeout: Duration::from_secs(30) });
    assert_eq!(account.key.load().unwrap().expose(), "blo_canary");
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let yaml = "blooio: {base_url: https://file.example}\nstate: {path: file.db}\n";
    let env = [KEY[0], ("BLOOIO_BASE_URL", "https://env.example"), ("BLOOIO_EXPORTER_STATE", "env.db")];
    let flags = Flags {
        api: ApiFlags { base_url: given("https://flag.example"), ..ApiFlags::default() },
        state_path: Some("flag.db".into()),
        ..Flags::default()
    };
    let seen = |settings: Settings| {
        (settings.accounts[0].base_url.to_string(), settings.state_path.display().to_string())
    };
    let pair = |url: &str, path: &str| (url.to_owned(), path.to_owned());
    let all = resolve(flags, &env, Some(yaml)).unwrap();
    assert_eq!(seen(all), pair("https://flag.example", "flag.db"));
    let no_flag = resolve(Flags::default(), &env, Some(yaml)).unwrap();
    assert_eq!(seen(no_flag), pair("https://env.example", "env.db"));
    let only_file = resolve(Flags::default(), KEY, Some(yaml)).unwrap();
    assert_eq!(seen(only_file), pair("https://file.example", "/etc/blooio/file.db"));
    let empty_env = [KEY[0], ("BLOOIO_BASE_URL", ""), ("BLOOIO_EXPORTER_STATE", " ")];
    let empty = resolve(Flags::default(), &empty_env, Some(yaml)).unwrap();
    assert_eq!(seen(empty), pair("https://file.example", "/etc/blooio/file.db"));
}

#[test]
fn the_path_of_the_file_is_itself_a_setting() {
    let env = |name: &str| (name == "BLOOIO_EXPORTER_CONFIG").then(|| "env.yml".to_owned());
    let flags = Flags {
        api: ApiFlags { config_file: Some("flag.yml".into()), ..ApiFlags::default() },
        ..Flags::default()
    };
    assert_eq!(flags.config_path(&env), Some("flag.yml".into()));
    assert_eq!(Flags::default().config_path(&env), Some("env.yml".into()));
    assert_eq!(Flags::default().config_path(&|_| None), None);
}

#[test]
fn a_file_can_say_everything() {
    let settings = from_yaml(
        r#"
blooio:
  base_url: https://api.example.com/v2/api/
collector:
  interval: 1m 30s
  full_interval: 20m
  window: 2h
  lookback: 15m
  retention: 14d
  audit_interval: 12h
  horizon: 48h
conversation:
  turn: 0s
probe:
  interval: 0s
  chats: ["+13105550199", friend@example.com, "+13105550199"]
api:
  budget: 0.5
  timeout: 10s
state:
  path: /var/lib/blooio/state.db
web:
  listen_address: ["127.0.0.1:1", "[::1]:2", ":3", "localhost:4"]
  telemetry_path: /blooio/metrics
  config_file: web.yml
log:
  level: debug
  format: json
lines:
  "+13105550101": sales
  +13105550102: support
labels: {team: messaging}
line_labels:
  "+13105550101": {team: sales, owner: Front desk}
"#,
    )
    .unwrap();
    let account = &settings.accounts[0];
    assert_eq!(account.base_url.as_str(), "https://api.example.com/v2/api");
    assert_eq!(
        account.collector,
        CollectorSettings {
            interval: Duration::from_secs(90),
            full_interval: Duration::from_secs(1200),
            window: Duration::from_secs(7200),
            lookback: Duration::from_secs(900),
            retention: Duration::from_secs(14 * 86_400),
            audit_interval: Duration::from_secs(43_200),
            horizon: Duration::from_secs(172_800),
        }
    );
    assert_eq!((account.conversation.turn, account.probe.interval), (Duration::ZERO, Duration::ZERO));
    assert_eq!(account.probe.chats, ["+13105550199", "friend@example.com"]);
    assert_eq!(account.api, Api { budget: 0.5, timeout: Duration::from_secs(10) });
    assert_eq!(account.lines["+13105550101"], "sales");
    assert_eq!(account.lines["+13105550102"], "support");
    assert_eq!(account.labels["team"], "messaging");
    assert_eq!(account.line_labels["+13105550101"]["owner"], "Front desk");
    assert_eq!(settings.state_path, Path::new("/var/lib/blooio/state.db"));
    let listen: Vec<_> = settings.web.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:1", "[::1]:2", "0.0.0.0:3", "127.0.0.1:4"]);
    assert_eq!(settings.web.telemetry_path, "/blooio/metrics");
    assert_eq!(settings.web.config_file.as_deref(), Some(Path::new("/etc/blooio/web.yml")));
    assert_eq!(settings.log, Log { level: LogLevel::Debug, format: LogFormat::Json });
}

#[test]
fn a_file_that_says_nothing_means_the_defaults() {
    let expected = format!("{:?}", resolve(Flags::default(), KEY, None).unwrap());
    for yaml in
        ["", "\n", "# collector:\n#   interval: 1s\n", "collector:\n", "collector:\n  interval:\n", "{}"]
    {
        let settings = from_yaml(yaml).unwrap();
        assert_eq!(settings.file_is_blank, !yaml.starts_with(['c', '{']));
        let settings = Settings { file_is_blank: false, ..settings };
        assert_eq!(format!("{settings:?}"), expected, "{yaml:?}");
    }
}

const TWO_ACCOUNTS: &str = r#"
collector: {interval: 45s, window: 2h}
probe: {chats: [shared@example.com]}
lines: {"+13105550101": sales, "+13105550102": support}
accounts:
  - name: one
    api_key_file: one.key
  - name: two
    api_key_file: /keys/two
    base_url: https://two.example
    collector: {interval: 15s}
    probe: {interval: 1m, chats: []}
    api: {budget: 4}
    lines: {"+13105550102": helpdesk, "+13105550103": press}
"#;

#[test]
fn an_account_overrides_what_it_names_and_takes_the_rest() {
    let settings = resolve(Flags::default(), &[], Some(TWO_ACCOUNTS)).unwrap();
    let [one, two] = &settings.accounts[..] else { panic!("two accounts") };
    assert_eq!((one.name.as_str(), two.name.as_str()), ("one", "two"));
    assert_eq!(one.key, KeySource::File("/etc/blooio/one.key".into()));
    assert_eq!(two.key, KeySource::File("/keys/two".into()));
    assert_eq!(one.base_url, BaseUrl::public());
    assert_eq!(two.base_url.as_str(), "https://two.example");
    assert_eq!(one.collector.interval, Duration::from_secs(45));
    assert_eq!(two.collector.interval, Duration::from_secs(15));
    assert_eq!(two.collector.window, Duration::from_secs(7200));
    assert_eq!(one.probe.chats, ["shared@example.com"]);
    assert!(two.probe.chats.is_empty());
    assert_eq!((one.api.budget, two.api.budget), (2.0, 4.0));
    let aliases: Vec<_> = two.lines.values().collect();
    assert_eq!(aliases, ["sales", "helpdesk", "press"]);

    let flags = Flags { interval: given("5s"), ..Flags::default() };
    let settings = resolve(flags, &[], Some(TWO_ACCOUNTS)).unwrap();
    assert!(settings.accounts.iter().all(|account| account.collector.interval == Duration::from_secs(5)));
}

#[test]
fn labels_are_those_of_the_file_with_the_accounts_own_and_their_names_are_checked() {
    let yaml = "labels: {team: all, tier: gold}\nline_labels: {\"+1\": {owner: us}}\naccounts:\n  - name: one\n    \
                api_key_file: k\n    labels: {team: one}\n    line_labels: {\"+1\": {team: two}}\n";
    let settings = resolve(Flags::default(), &[], Some(yaml)).unwrap();
    let pairs = |labels: &std::collections::BTreeMap<String, String>| {
        labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&settings.accounts[0].labels), ["team=one", "tier=gold"]);
    assert_eq!(pairs(&settings.accounts[0].line_labels["+1"]), ["owner=us", "team=two"]);
    for (labels, why) in [
        ("1team: x", "is not the name of a label"),
        ("te-am: x", "is not the name of a label"),
        ("__team: x", "is not the name of a label"),
        ("line: x", "is a label that the page or Prometheus sets itself"),
        ("team: \" x\"", "cannot be a label"),
    ] {
        let refused = from_yaml(&format!("labels: {{{labels}}}\n")).unwrap_err();
        assert!(refused.contains("b.yml:1") && refused.contains(why), "{refused}");
    }
}

#[test]
fn accounts_and_a_single_key_exclude_each_other() {
    let refused = |flags, env: &[(&str, &str)], yaml: &str| resolve(flags, env, Some(yaml)).unwrap_err();
    assert_eq!(
        refused(Flags::default(), KEY, TWO_ACCOUNTS),
        "BLOOIO_API_KEY is for a single account, but /etc/blooio/b.yml:6 lists accounts; remove BLOOIO_API_KEY and \
         give each account its api_key_file"
    );
    let flags =
        Flags { api: ApiFlags { api_key_file: Some("k".into()), ..ApiFlags::default() }, ..Flags::default() };
    assert!(refused(flags, &[], TWO_ACCOUNTS).starts_with("--blooio.api-key-file is for a single account"));
    let env = [("BLOOIO_API_KEY_FILE", "k")];
    assert!(refused(Flags::default(), &env, TWO_ACCOUNTS).starts_with("BLOOIO_API_KEY_FILE is for a single"));
    let both = format!("blooio: {{api_key_file: k}}\n{TWO_ACCOUNTS}");
    assert!(refused(Flags::default(), &[], &both).starts_with("blooio.api_key_file is for a single account"));
}

#[test]
fn the_key_comes_from_the_first_place_that_has_one() {
    let key = |flags: Flags, env: &[(&str, &str)], yaml| {
        resolve(flags, env, yaml).map(|settings| settings.accounts[0].key.clone())
    };
    let flag = Flags {
        api: ApiFlags { api_key_file: Some("flag.key".into()), ..ApiFlags::default() },
        ..Flags::default()
    };
    let yaml = Some("blooio: {api_key_file: b.key}");
    let directory = ("CREDENTIALS_DIRECTORY", "/run/credentials/x");
    assert_eq!(key(flag, KEY, yaml), Ok(KeySource::File("flag.key".into())));
    assert!(matches!(key(Flags::default(), KEY, yaml), Ok(KeySource::Environment(_))));
    let env = [("BLOOIO_API_KEY_FILE", "env.key"), ("BLOOIO_API_KEY", "")];
    assert_eq!(key(Flags::default(), &env, yaml), Ok(KeySource::File("env.key".into())));
    assert_eq!(key(Flags::default(), &[directory], yaml), Ok(KeySource::File("/etc/blooio/b.key".into())));
    assert_eq!(
        key(Flags::default(), &[directory], None),
        Ok(KeySource::Credential("/run/credentials/x/blooio-api-key".into()))
    );
    let env = [directory, ("BLOOIO_API_KEY_FILE", "/run/credentials/x/other")];
    assert_eq!(
        key(Flags::default(), &env, None),
        Ok(KeySource::Credential("/run/credentials/x/other".into()))
    );
    assert_eq!(
        key(Flags::default(), &[], None).unwrap_err(),
        "no API key: set BLOOIO_API_KEY, or name a file that holds it with --blooio.api-key-file"
    );
    let env = [KEY[0], ("BLOOIO_API_KEY_FILE", "k")];
    assert_eq!(
        key(Flags::default(), &env, None).unwrap_err(),
        "BLOOIO_API_KEY and BLOOIO_API_KEY_FILE are both set; keep one of them"
    );
    assert_eq!(
        key(Flags::default(), &[("BLOOIO_API_KEY", "canary canary")], None).unwrap_err(),
        "BLOOIO_API_KEY holds something other than one key; only visible ASCII without spaces is allowed"
    );
}

#[test]
fn a_flag_that_makes_no_sense_is_named_with_what_was_given() {
    let flags = Flags::default;
    let cases = [
        (
            Flags { interval: given("abc"), ..flags() },
            "--collector.interval: `abc` is not a duration; write it as 30s or 1h 30m",
        ),
        (
            Flags { interval: given("30"), ..flags() },
            "--collector.interval: `30` is not a duration; write it as 30s or 1h 30m",
        ),
        (
            Flags { api: ApiFlags { api_timeout: given(""), ..ApiFlags::default() }, ..flags() },
            "--api.timeout: an empty value is not a duration; write it as 30s or 1h 30m",
        ),
        (
            Flags { full_interval: given("0s"), ..flags() },
            "--collector.full-interval: `0s` must be longer than zero",
        ),
        (
            Flags { retention: given("2 years"), ..flags() },
            "--collector.retention: `2 years` is longer than a year; shorten it",
        ),
        (
            Flags { probe_interval: given("often"), ..flags() },
            "--probe.interval: `often` is not a duration; write it as 30s or 1h 30m",
        ),
        (
            Flags {
                api: ApiFlags { base_url: given("http://api.blooio.com/v2/api"), ..ApiFlags::default() },
                ..flags()
            },
            "--blooio.base-url: `http://api.blooio.com/v2/api` must use https; plain http is allowed for loopback \
             addresses only",
        ),
        (
            Flags {
                api: ApiFlags {
                    base_url: given("https://user:canary@api.blooio.com"),
                    ..ApiFlags::default()
                },
                ..flags()
            },
            "--blooio.base-url: must not contain a user name or password; the key belongs in BLOOIO_API_KEY",
        ),
        (
            Flags { listen: vec!["everywhere".to_owned()], ..flags() },
            "--web.listen-address: `everywhere` is not an address; write it as 127.0.0.1:12566 or [::1]:12566",
        ),
        (
            Flags { listen: vec![":1".to_owned(), "0.0.0.0:1".to_owned()], ..flags() },
            "--web.listen-address: `0.0.0.0:1` is given twice; keep one",
        ),
        (
            Flags { telemetry_path: given("metrics"), ..flags() },
            "--web.telemetry-path: `metrics` must begin with `/`",
        ),
        (
            Flags { telemetry_path: given("/"), ..flags() },
            "--web.telemetry-path: `/` belongs to another page; take a path such as /metrics",
        ),
        (
            Flags { telemetry_path: given("/-/ready"), ..flags() },
            "--web.telemetry-path: `/-/ready` belongs to another page; take a path such as /metrics",
        ),
        (
            Flags { telemetry_path: given("/{a}"), ..flags() },
            "--web.telemetry-path: `/{a}` is not a plain path; letters, digits and -._~ between single slashes are \
             allowed",
        ),
    ];
    for (flags, text) in cases {
        assert_eq!(refused(flags), text);
    }
    for budget in ["0", "-1", "NaN", "inf", "100.1", "fast", "1e-320", "0.009"] {
        assert_eq!(
            refused(Flags { api_budget: given(budget), ..flags() }),
            format!(
                "--api.budget: `{budget}` is not a budget; write requests per second from 0.01 to 100, such as \
                 2 or 0.5"
            )
        );
    }
}

#[test]
fn durations_that_ask_for_more_than_any_budget_allows_are_rejected() {
    for (interval, why) in
        [("9ms", "shorter than 10ms"), ("1ns", "shorter than 10ms"), ("1M", "unit of a month")]
    {
        let error = refused(Flags { interval: Some(interval.to_owned()), ..Flags::default() });
        assert!(error.contains(why), "{error}");
    }
    let error = refused(Flags {
        api: ApiFlags { api_timeout: Some("99ms".to_owned()), ..ApiFlags::default() },
        ..Flags::default()
    });
    assert!(error.contains("shorter than 100ms"), "{error}");
}

#[test]
fn a_state_that_is_no_file_is_rejected() {
    for path in [":memory:", "./:memory:", "file:state.db", "file::memory:?cache=shared", "", "state/"] {
        let error = refused(Flags { state_path: Some(path.into()), ..Flags::default() });
        assert!(error.starts_with("--state.path: names no file"), "{path}: {error}");
    }
}

#[test]
fn settings_that_seldom_make_sense_are_warned_of() {
    let warnings = |yaml: &str| from_yaml(yaml).unwrap().warnings();
    assert!(warnings("").is_empty());
    assert!(warnings("lines: {'+13105550101': sales}").is_empty());
    assert!(warnings("probe: {chats: ['+14155550100', someone@mail.example, grp_1]}").is_empty());
    for (yaml, setting) in [
        ("collector: {full_interval: 10s}", "collector.full-interval 10s is shorter than collector.interval"),
        ("collector: {window: 8d}", "collector.window 8days is longer than collector.retention"),
        ("collector: {lookback: 8d}", "collector.lookback 8days is longer"),
        ("collector: {audit_interval: 8d}", "collector.audit-interval 8days is longer"),
        ("collector: {horizon: 8d}", "collector.horizon 8days is longer"),
        ("collector: {horizon: 9m}", "collector.horizon 9m is shorter than 10m"),
        ("lines: {foo: sales}", "lines: the number of the alias sales is not written like +13105550101"),
        ("lines: {'+1 310 555 0101': sales}", "lines: the number of the alias sales is not written"),
        ("lines: {'13105550101': sales}", "lines: the number of the alias sales is not written"),
        ("probe: {chats: ['+14155550100', nonsense]}", "probe.chats: entry 2 is no number"),
        (
            "blooio: {base_url: 'https://api.example.com'}",
            "blooio.base-url https://api.example.com has no path, and that of Blooio's API is /v2/api; write \
             https://api.example.com/v2/api, unless a proxy adds it",
        ),
    ] {
        let [warning] = &warnings(yaml)[..] else { panic!("{yaml}: {:?}", warnings(yaml)) };
        assert!(warning.starts_with(&format!("account default: {setting}")), "{warning}");
    }
}

#[test]
fn a_file_that_makes_no_sense_is_named_with_its_line() {
    let long = "x".repeat(65);
    let named = |name: &str| format!("accounts:\n- {{name: {name}, api_key_file: k}}");
    let cases = [
        (
            "collector:\n  intervall: 30s\n".to_owned(),
            "2: unknown key `intervall`; known here: audit_interval, full_interval, horizon, interval, lookback, retention, window".to_owned(),
        ),
        (
            "log: {level: info}\ncolector: {}\n".to_owned(),
            "2: unknown key `colector`; known here: accounts, api, blooio, collector, conversation, labels, line_labels, lines, log, probe, state, web, webhook".to_owned(),
        ),
        (
            "log:\n  level: info\n  level: warn\n".to_owned(),
            "3: the key `level` is given twice; keep one".to_owned(),
        ),
        (
            "blooio:\n  api_key: canary\n".to_owned(),
            "2: unknown key `api_key`; known here: api_key_file, base_url".to_owned(),
        ),
        (
            "\ncollector:\n  full_interval: soon\n".to_owned(),
            "3: collector.full_interval: `soon` is not a duration; write it as 30s or 1h 30m".to_owned(),
        ),
        ("log:\n  level: loud\n".to_owned(), "2: log.level: `loud` is not one of debug, info, warn, error".to_owned()),
        ("log:\n  format: xml\n".to_owned(), "2: log.format: `xml` is not one of logfmt, json".to_owned()),
        (
            "web:\n  listen_address:\n  - :1\n  - here\n".to_owned(),
            "4: web.listen_address: `here` is not an address; write it as 127.0.0.1:12566 or [::1]:12566".to_owned(),
        ),
        (
            "lines:\n  \"+1\": a\n  \"+2\": a\n".to_owned(),
            "3: lines: `a` stands for two lines; give each its own alias".to_owned(),
        ),
        (
            "lines:\n  \"+1\": \"a\\nb\"\n".to_owned(),
            "2: lines: `a\\nb` cannot be a label; use 1 to 64 characters, no control characters, no space at the ends"
                .to_owned(),
        ),
        (
            "probe:\n  chats:\n  - \"canary\\a\"\n".to_owned(),
            "3: probe.chats: the entry on this line cannot be a chat; write a phone number, an e-mail address or a \
             group id"
                .to_owned(),
        ),
        (
            "accounts: []\n".to_owned(),
            "1: accounts is empty; add an account, or remove the key and set BLOOIO_API_KEY".to_owned(),
        ),
        (
            "accounts:\n- name: a\n".to_owned(),
            "2: account `a` has no api_key_file; name the file that holds its API key".to_owned(),
        ),
        (
            "accounts:\n- {name: a, api_key_file: k}\n- {name: a, api_key_file: l}\n".to_owned(),
            "3: accounts.name: `a` is the name of two accounts; give each its own".to_owned(),
        ),
        (
            named("\"\""),
            "2: accounts.name: an empty value cannot be a label; use 1 to 64 characters, no control characters, no space at the \
             ends"
                .to_owned(),
        ),
        (
            named(&long),
            // What is longer than any name may be a key in the wrong place.
            "2: accounts.name: cannot be a label; use 1 to 64 characters, no control characters, no space at the ends"
                .to_owned(),
        ),
        (
            "accounts:\n- name: a\n  api_key_file: k\n  base_url: http://example.com\n".to_owned(),
            "4: accounts.base_url: `http://example.com` must use https; plain http is allowed for loopback addresses \
             only"
                .to_owned(),
        ),
    ];
    for (yaml, text) in cases {
        let error = resolve(Flags::default(), if yaml.contains("accounts") { &[] } else { KEY }, Some(&yaml));
        let text = if text.starts_with("--") { text } else { format!("/etc/blooio/b.yml:{text}") };
        assert_eq!(error.unwrap_err(), text, "{yaml}");
    }
}

#[test]
fn yaml_that_cannot_be_read_is_one_line_with_its_place() {
    for (yaml, line) in [
        ("collector: {interval: 30s\n", ""),
        ("collector:\n\t- x\n", ""),
        ("log: {level: info}\nlog: {level: info}\n", "2:"),
        ("log: {level: info}\nlines:\n  a: x\n  a: y\n", "4:"),
        ("\ncollector: 30s\n", "2:"),
        ("accounts:\n  - api_key_file: k\n", "2:"),
        ("log: {level: [a]}\n", "1:"),
    ] {
        let error = from_yaml(yaml).unwrap_err();
        assert!(error.starts_with(&format!("/etc/blooio/b.yml:{line}")), "{error}");
        assert!(!error.contains('\n') && !error.contains(" at line "), "{error}");
    }
}

#[test]
fn errors_about_the_shape_of_the_file_show_no_number() {
    for yaml in [
        "\"+13105550199\": sales",
        "\"+13105550199\"",
        "collector: \"+13105550199\"",
        "collector: {interval: [\"+13105550199\"]}",
        "lines: \"+13105550199\"",
        "lines: {\"+13105550199\": [a]}",
        "lines: {\"+13105550199\": a, \"+13105550199\": b}",
        "probe: {chats: \"+13105550199\"}",
        "probe: {chats: [{\"+13105550199\": a}]}",
        "probe: {chats: [*13105550199]}",
        "probe: {chats: [!!int \"+13105550199x\"]}",
        "accounts: [\"+13105550199\"]",
        "log: {level: info}\n +13105550199: a",
    ] {
        let error = from_yaml(yaml).unwrap_err();
        assert!(!error.contains("310555"), "{yaml}: {error}");
    }
}

#[test]
fn debug_shows_neither_keys_nor_numbers() {
    let settings = from_yaml(
        "probe: {chats: [\"+13105550199\"]}\nlines: {\"+13105550101\": sales}\nblooio: {base_url: https://x.example}",
    )
    .unwrap();
    for text in [format!("{settings:?}"), format!("{settings:#?}")] {
        assert!(!text.contains("canary") && !text.contains("310555"), "{text}");
        assert!(text.contains("[redacted]") && text.contains("sales"), "{text}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let flags = Flags {
        api: ApiFlags { config_file: Some("/nonexistent/b.yml".into()), ..ApiFlags::default() },
        ..Flags::default()
    };
    assert_eq!(
        Settings::load(&flags).unwrap_err().to_string(),
        "--config.file: /nonexistent/b.yml cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn a_key_in_the_wrong_place_is_never_repeated() {
    for key in ["bl_live_4f9AkQ0s", "sk-4f9AkQ0sXyz12Rt", "Kq83hfAA02mZpTqLw", "4f9akq0s4f9akq0s4f9akq0s"] {
        for yaml in [
            format!("{key}: x"),
            format!("{key}: x\n{key}: y"),
            format!("collector: {{interval: {key}}}"),
            format!("collector: {{{key}: 30s}}"),
            format!("collector: {key}"),
            format!("collector: [{key}]"),
            format!("api: {{budget: {key}}}"),
            format!("blooio: {{base_url: {key}}}"),
            format!("blooio: {{base_url: \"https://{key}:x\"}}"),
            format!("blooio: {{api_key: {key}}}"),
            format!("log: {{level: {key}}}"),
            format!("web: {{listen_address: [{key}]}}"),
            format!("web: {{telemetry_path: {key}}}"),
            format!("web: {{enable_lifecycle: {key}}}"),
            format!("web: {{allowed_host: [\"{key}:1\"]}}"),
            format!("lines: {{\"+1\": {key}, \"+2\": {key}}}"),
            format!("accounts: [{{name: {key}}}]"),
            format!("accounts: [{{name: {key}, api_key_file: k}}, {{name: {key}, api_key_file: k}}]"),
        ] {
            let env = if yaml.contains("accounts") { &[][..] } else { KEY };
            let error = resolve(Flags::default(), env, Some(&yaml)).unwrap_err();
            assert!(!error.contains(key), "{yaml}: {error}");
        }
        let error = KeySource::File(format!("/etc/blooio/{key}").into()).load().unwrap_err().to_string();
        assert!(!error.contains(key) && error.contains("/etc/blooio/…: cannot be read"), "{error}");
        let flags = Flags {
            api: ApiFlags { config_file: Some(key.into()), ..ApiFlags::default() },
            ..Flags::default()
        };
        assert!(!Settings::load(&flags).unwrap_err().to_string().contains(key));
    }
    // What is no secret is still shown.
    for path in ["/etc/blooio/blooio.key", "/etc/blooio/my_second_account.key", "/run/secrets/blooio-api-key"]
    {
        let error = KeySource::File(path.into()).load().unwrap_err().to_string();
        assert!(error.contains(path), "{error}");
    }
}

#[test]
fn a_webhook_of_the_only_account_is_named_by_flags_or_file() {
    let yaml = "webhook: {listen_address: 127.0.0.1:9, token_file: t, secret_files: s}";
    let settings = from_yaml(yaml).unwrap();
    let receiver = settings.receiver.unwrap();
    assert_eq!(receiver.listen, ["127.0.0.1:9".parse().unwrap()]);
    assert_eq!((receiver.path_prefix.as_str(), receiver.config_file), ("/webhooks", None));
    let shown = format!("{:?}", settings.accounts[0].webhook);
    assert!(shown.contains("/etc/blooio/t") && shown.contains("/etc/blooio/s"), "{shown}");
    let flags = WebhookFlags {
        listen: vec![":8".into()],
        path_prefix: given("/"),
        config_file: Some("tls.yml".into()),
        token_file: Some("t".into()),
        secret_files: vec!["a".into(), "b".into()],
    };
    let settings = resolve(Flags { webhook: flags, ..Flags::default() }, KEY, Some(yaml)).unwrap();
    let receiver = settings.receiver.unwrap();
    assert_eq!((receiver.listen, receiver.path_prefix.as_str()), (vec!["0.0.0.0:8".parse().unwrap()], ""));
    assert!(from_yaml("log: {level: info}").unwrap().receiver.is_none());
}

#[test]
fn each_account_has_a_webhook_of_its_own_or_none() {
    let yaml = "webhook: {listen_address: ':9', path_prefix: /in}\naccounts:\n- {name: a, api_key_file: a}\n\
                - {name: b, api_key_file: b, webhook: {token_file: t, secret_files: [s, u]}}\n";
    let settings = resolve(Flags::default(), &[], Some(yaml)).unwrap();
    assert_eq!(settings.receiver.unwrap().path_prefix, "/in");
    let has: Vec<bool> = settings.accounts.iter().map(|account| account.webhook.is_some()).collect();
    assert_eq!(has, [false, true]);
}

#[test]
fn what_a_webhook_file_holds_is_judged_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let load = || {
        let file = folder.path().join("b.yml");
        let yaml = "webhook: {listen_address: ':9', token_file: t.token, secret_files: [s.key]}";
        let env = |name: &str| (name == "BLOOIO_API_KEY").then(|| "blo_canary".to_owned());
        let settings = Settings::resolve(&Flags::default(), &env, Some((&file, yaml))).unwrap();
        let webhook = settings.accounts[0].webhook.clone().unwrap();
        let token = webhook.token().map_err(|error| error.to_string());
        let secrets = webhook.secrets().map_err(|error| error.to_string());
        (token, secrets)
    };
    write("t.token", "0123456789abcdef\n", 0o600);
    write("s.key", " whsec_canary\n", 0o600);
    let (token, secrets) = load();
    assert_eq!((token.unwrap().expose(), secrets.unwrap()[0].expose()), ("0123456789abcdef", "whsec_canary"));
    let long = "canary-".repeat(20);
    for (token, why) in [
        ("", "does not hold 16 to 128 characters"),
        ("canary", "does not hold 16 to 128 characters"),
        (long.as_str(), "does not hold 16 to 128 characters"),
        ("canary/canary/canary", "letters, digits, - and _ are allowed"),
        ("canary%2Fcanary%2Fcanary", "letters, digits, - and _ are allowed"),
        ("bl_live_canarycanary", "holds an API key"),
    ] {
        write("t.token", token, 0o600);
        let error = load().0.unwrap_err();
        assert!(error.starts_with("webhook token file ") && error.contains(why), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
    for (secret, mode, why) in [
        (" \n", 0o600, "is empty; put the webhook's signing secret there"),
        ("bl_live_canary", 0o600, "holds an API key"),
        ("whsec_canary and more", 0o600, "holds something other than one key"),
        ("whsec_canary", 0o644, "lets group or others at the secret; run `chmod 600"),
    ] {
        write("s.key", secret, mode);
        let error = load().1.unwrap_err();
        assert!(error.starts_with("webhook secret file ") && error.contains(why), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
}
