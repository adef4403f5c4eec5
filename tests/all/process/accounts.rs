//! Several accounts in one process: a problem of one does not affect the others, and they come, change and go while
//! messages flow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use blooio_exporter::simulator;

use crate::process::fault_matrix::{self, Server, Sign};
use crate::process::truth::{differences, expected, shown};
use crate::support::{Answer, Exporter, Page, Simulated, eventually, get, post, wall_clock};

const INTERVALS: &str = "collector: {interval: 200ms, full_interval: 1s}\nprobe: {interval: 2s}\n\
                         api: {budget: 50, timeout: 700ms}\n";

/// A world with steady traffic and a key of its own.
fn world(name: &str, seed: u64) -> Simulated {
    let scenario = simulator::scenario("steady").unwrap();
    let mut setup = scenario.setup.clone();
    (setup.seed, setup.start_ms, setup.key) = (seed, wall_clock(), key_of(name));
    (setup.inbound_per_minute, setup.outbound_per_minute, setup.pace) = (300.0, 600.0, 10.0);
    (setup.chats, setup.history_messages) = (60, 200);
    Simulated::start(scenario.world_from(setup))
}

fn key_of(name: &str) -> String {
    format!("bl_live_{name}")
}

fn write_key(folder: &Path, name: &str) {
    use std::io::Write;
    let path = folder.join(format!("{name}.key"));
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    writeln!(file.unwrap(), "{}", key_of(name)).unwrap();
}

/// A configuration file with these accounts: name, base URL, further settings.
fn config(folder: &Path, accounts: &[(&str, String, &str)]) -> String {
    let mut text = format!("{INTERVALS}accounts:\n");
    for (name, base_url, more) in accounts {
        write_key(folder, name);
        writeln!(text, "  - {{name: {name}, base_url: \"{base_url}\", api_key_file: {name}.key{more}}}")
            .unwrap();
    }
    text
}

/// Asks for a reload, once it may. The answer does not say why one failed: the log does, and its new lines then stand in
/// place of the answer's body.
fn reload(exporter: &Exporter) -> Answer {
    let before = exporter.log().len();
    let mut answer = eventually("a reload that is not too soon", || {
        Some(post(exporter.address(), "/-/reload", &[])).filter(|answer| answer.status != 429)
    });
    if answer.status == 500 {
        assert_eq!(answer.body.trim(), "not applied, see the log");
        answer.body = eventually("the reason in the log", || {
            let log = exporter.log().split_off(before);
            log.contains("configuration not applied").then_some(log)
        });
    }
    answer
}

/// Lets a world come to rest, and waits until the page says of the account what the world's truth says.
fn settle(exporter: &Exporter, account: &str, simulated: &Simulated) {
    simulated.come_to_rest(account, || Some(exporter.page()));
    let mut differ = Vec::new();
    let until = std::time::Instant::now() + crate::support::LONGEST_WAIT;
    loop {
        let page = exporter.page();
        page.assert_conserved();
        let baseline =
            page.of(account, "blooio_collection_baseline_timestamp_seconds")[&vec![account.to_owned()]];
        if baseline > 0.0 {
            let truth = simulated.world().truth().summary((baseline * 1000.0).round() as i64);
            assert!(truth.outbound.values().sum::<u64>() > 0, "{account}: nothing was sent");
            differ = differences(&expected(&truth), &shown(&page, account));
            if differ.is_empty() {
                return;
            }
        }
        assert!(
            std::time::Instant::now() < until,
            "{account}: page and truth differ:\n{}",
            differ.join("\n")
        );
        std::thread::sleep(Duration::from_millis(100));
        // A re-check of an old message is an hour away by the world's clock.
        simulated.skip(Duration::from_secs(60));
    }
}

fn complete_sweeps(page: &Page, account: &str) -> f64 {
    page.of(account, "blooio_collection_sweeps_total")[&vec![account.to_owned(), "complete".to_owned()]]
}

/// How often the sign of a fault was seen on an account.
fn seen(page: &Page, account: &str, sign: &Sign) -> f64 {
    let (family, value) = match sign {
        Sign::Code(code) => ("blooio_api_requests_total", *code),
        Sign::Rejected(reason) => ("blooio_collection_rejected_items_total", *reason),
        Sign::Nothing => ("blooio_collection_sweeps_total", "complete"),
    };
    let series = page.of(account, family);
    series
        .iter()
        .filter(|(labels, _)| labels.last().is_some_and(|l| l == value))
        .map(|(_, count)| count)
        .sum()
}

#[test]
fn one_account_in_every_trouble_is_no_trouble_of_the_others() {
    const ILL: usize = 6;
    let (first, last) = (world("first", 1), world("last", 2));
    let elsewhere = Server::start();
    let ill: Vec<_> = (0..ILL).map(|n| (format!("ill-{n}"), Server::start())).collect();
    let exporter = Exporter::configured(|folder| {
        let mut accounts = vec![("first", first.base_url(), "")];
        accounts.extend(ill.iter().map(|(name, server)| (&**name, format!("http://{}", server.address), "")));
        accounts.push(("last", last.base_url(), ", collector: {interval: 300ms}, api: {budget: 80}"));
        config(folder, &accounts)
    });
    eventually("all accounts are up", || {
        (exporter.page().sum("blooio_up") == (ILL + 2) as f64).then_some(())
    });
    let mut cases = fault_matrix::cases(elsewhere.address);
    // One of them silences its account for a quarter of an hour: it comes last.
    cases.sort_by_key(|(.., pause)| pause.is_none_or(|pause| pause <= Duration::from_secs(60)));
    let cases = Mutex::new(cases);
    let suffer = |account: &str, server: &Arc<Server>| {
        loop {
            let next = cases.lock().unwrap().pop();
            let Some((name, answer, sign, _)) = next else { return };
            let before = exporter.page();
            server.begin(answer);
            eventually(&format!("{name} on the page"), || {
                (seen(&exporter.page(), account, &sign) > seen(&before, account, &sign)).then_some(())
            });
            eventually(&format!("sweeps of the others during {name}"), || {
                let page = exporter.page();
                page.assert_not_behind(&before);
                let goes_on = |account| complete_sweeps(&page, account) > complete_sweeps(&before, account);
                (goes_on("first") && goes_on("last")).then_some(())
            });
            server.end();
        }
    };
    std::thread::scope(|scope| {
        for (account, server) in &ill {
            scope.spawn(|| suffer(account, server));
        }
    });
    assert!(cases.lock().unwrap().is_empty());
    let ready = get(exporter.address(), "/-/ready", &[]);
    assert_eq!(ready.status, 200, "an ill account takes no other out of service");
    for (account, simulated) in [("first", &first), ("last", &last)] {
        let requests = exporter.page().of(account, "blooio_api_requests_total");
        for (labels, count) in requests {
            // A probe may fail by the world's own will, and a message may be asked for that moved with its chat.
            let may = labels[1] == "get_background" || (labels[1] == "get_message" && labels[2] == "404");
            let is_well = may || labels[2] == "200" || count == 0.0;
            assert!(is_well, "{account}: {labels:?} {count}");
        }
        settle(&exporter, account, simulated);
        assert_eq!(simulated.world().violations(), 0, "{account}: the budget was kept");
    }
}

#[test]
fn accounts_come_change_and_go_under_traffic_and_nothing_is_lost_or_doubled() {
    let worlds: BTreeMap<&str, Arc<Simulated>> = [("one", 11), ("two", 12), ("three", 13)]
        .map(|(name, seed)| (name, Arc::new(world(name, seed))))
        .into();
    let listed = |names: &[(&'static str, &'static str)]| -> Vec<(&str, String, &str)> {
        names.iter().map(|(name, more)| (*name, worlds[name].base_url(), *more)).collect()
    };
    let mut exporter = Exporter::configured(|folder| config(folder, &listed(&[("one", ""), ("two", "")])));
    let (brisk, slow, wide) = (
        ", collector: {interval: 100ms}",
        ", api: {budget: 20}",
        ", collector: {lookback: 1h, audit_interval: 1h}",
    );
    let rounds: [&[(&str, &str)]; 10] = [
        &[("one", ""), ("two", ""), ("three", "")],
        &[("one", brisk), ("two", ""), ("three", "")],
        &[("two", slow), ("three", "")],
        &[("three", wide), ("one", "")],
        &[("three", wide)],
        &[("three", wide)],
        &[("one", slow), ("two", brisk), ("three", slow)],
        &[("three", slow), ("two", brisk)],
        &[("two", wide), ("one", wide)],
        &[("one", ""), ("two", ""), ("three", "")],
    ];
    // The newest page that showed an account: what was counted must be there when it comes back.
    let mut newest: BTreeMap<String, Page> = BTreeMap::new();
    let mut shared = Page::default();
    let mut look = |exporter: &Exporter| {
        let page = exporter.page();
        page.assert_conserved();
        let accounts: Vec<String> =
            page.family("blooio_up").into_keys().map(|labels| labels[0].clone()).collect();
        for account in accounts {
            let of_account = |series: &String| series.contains(&format!("{{account=\"{account}\""));
            let mut own = page.clone();
            own.samples.retain(|series, _| of_account(series));
            if let Some(before) = newest.insert(account, own.clone()) {
                own.assert_not_behind(&before);
            }
        }
        let mut sums = page;
        sums.samples.retain(|series, _| !series.contains("account=\""));
        sums.assert_not_behind(&shared);
        shared = sums;
    };
    let mut rng = fastrand::Rng::with_seed(5);
    for (round, names) in rounds.iter().enumerate() {
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(rng.u64(20..250)));
            look(&exporter);
        }
        let text = config(exporter.folder.path(), &listed(names));
        std::fs::write(exporter.folder.path().join("config.yml"), text).unwrap();
        match round {
            // A crash between two configurations is a reload of another kind.
            5 => {
                exporter.kill();
                exporter.launch();
            }
            _ if round % 2 == 0 => {
                let answer = reload(&exporter);
                assert_eq!(answer.status, 200, "{}", answer.body);
                let expected = if round == 4 { "removed: one" } else { "configuration read again; " };
                assert!(answer.body.contains(expected), "{}", answer.body);
            }
            _ => {
                let read = exporter.log().matches("configuration read again").count();
                exporter.signal("-HUP");
                eventually("SIGHUP is followed", || {
                    let now = exporter.log().matches("configuration read again").count();
                    (now > read).then_some(())
                });
            }
        }
        look(&exporter);
        let shown: Vec<String> =
            exporter.page().family("blooio_up").into_keys().map(|labels| labels[0].clone()).collect();
        let mut wanted: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        wanted.sort_unstable();
        assert_eq!(shown, wanted, "round {round}");
    }
    for (account, simulated) in &worlds {
        settle(&exporter, account, simulated);
        look(&exporter);
    }
}

#[test]
fn a_configuration_that_cannot_be_taken_changes_nothing_and_says_why() {
    let simulated = world("one", 21);
    let list = |more: &str| [("one", simulated.base_url(), "")].map(|(n, u, _)| (n, u, more.to_owned()));
    let write = |exporter: &Exporter, text: &str| {
        std::fs::write(exporter.folder.path().join("config.yml"), text).unwrap();
    };
    let text_of = |exporter: &Exporter, more: &str| {
        let accounts = list(more);
        let accounts: Vec<(&str, String, &str)> =
            accounts.iter().map(|(name, url, more)| (*name, url.clone(), more.as_str())).collect();
        config(exporter.folder.path(), &accounts)
    };
    let exporter = Exporter::configured(|folder| config(folder, &[("one", simulated.base_url(), "")]));
    eventually("the account is up", || (exporter.page().sum("blooio_up") == 1.0).then_some(()));
    let read_at = exporter.page().sum("blooio_exporter_config_last_reload_success_timestamp_seconds");
    let good = text_of(&exporter, "");
    let second =
        format!("  - {{name: two, base_url: \"{}\", api_key_file: nowhere.key}}\n", simulated.base_url());
    let bad = [
        (good.replace("collector:", "collektor:"), "unknown key `collektor`"),
        (good.replace("200ms", "soon"), "`soon` is not a duration"),
        (format!("{good}{second}"), "nowhere.key: cannot be read"),
        (format!("{good}web: {{telemetry_path: /elsewhere}}\n"), "web.telemetry_path cannot change"),
        (format!("{good}log: {{format: json}}\n"), "log.format cannot change"),
        ("accounts: []\n".to_owned(), "accounts is empty"),
        ("# nothing\n".to_owned(), "no API key"),
        (
            text_of(&exporter, ", lines: {\"+13105550101\": \"+13105550102\"}"),
            "could be taken for another line",
        ),
        (text_of(&exporter, ", lines: {\"+13105550101\": none}"), "could be taken for another line"),
        (text_of(&exporter, ", collector: {window: 2h}"), "the window is one for all accounts"),
    ];
    for (text, why) in bad {
        let sweeps = complete_sweeps(&exporter.page(), "one");
        write(&exporter, &text);
        let answer = reload(&exporter);
        assert_eq!(answer.status, 500, "{why}: {}", answer.body);
        assert!(answer.body.contains(why) && answer.body.contains("stays in force"), "{}", answer.body);
        let page = exporter.page();
        assert_eq!(page.sum("blooio_exporter_config_last_reload_successful"), 0.0, "{why}");
        assert_eq!(
            page.sum("blooio_exporter_config_last_reload_success_timestamp_seconds"),
            read_at,
            "{why}"
        );
        eventually("the account is still collected", || {
            (complete_sweeps(&exporter.page(), "one") > sweeps).then_some(())
        });
        assert_eq!(exporter.page().family("blooio_up").len(), 1, "{why}");
    }
    // A pipe, from which nothing ever comes: neither the reload nor the end waits for it.
    let path = exporter.folder.path().join("config.yml");
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let answer = reload(&exporter);
    assert!(answer.status == 500 && answer.body.contains("not a regular file"), "{}", answer.body);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(get(exporter.address(), "/-/reload", &[]).status, 405);
    assert_eq!(post(exporter.address(), "/-/reload", &["Sec-Fetch-Site: cross-site"]).status, 403);
    assert_eq!(post(exporter.address(), "/-/reload", &["Origin: http://elsewhere.example"]).status, 403);
    let own = format!("Origin: http://{}", exporter.address());
    for more in [
        ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        [&own, "Origin: http://elsewhere.example"],
    ] {
        assert_eq!(post(exporter.address(), "/-/reload", &more).status, 403, "{more:?}");
    }
    write(&exporter, &good);
    let answer = reload(&exporter);
    assert_eq!((answer.status, answer.body.trim()), (200, "configuration read again; no account changed"));
    let page = exporter.page();
    assert_eq!(page.sum("blooio_exporter_config_last_reload_successful"), 1.0);
    assert!(page.sum("blooio_exporter_config_last_reload_success_timestamp_seconds") > read_at);
    let line = simulated.world().lines().remove(0);
    let named =
        |page: &Page, name: &str| page.samples.keys().any(|s| s.contains(&format!("line=\"{name}\"")));
    eventually("the line is known", || named(&exporter.page(), &line).then_some(()));
    write(&exporter, &text_of(&exporter, &format!(", lines: {{\"{line}\": reception}}")));
    let answer = reload(&exporter);
    assert_eq!((answer.status, answer.body.trim()), (200, "configuration read again; lines renamed: one"));
    let page = exporter.page();
    assert!(named(&page, "reception") && !named(&page, &line), "the name of a line is taken at once");
}

#[test]
fn a_key_that_is_replaced_is_taken_at_the_next_reload_or_401() {
    let simulated = world("one", 31);
    let exporter = Exporter::configured(|folder| config(folder, &[("one", simulated.base_url(), "")]));
    eventually("the account is up", || (exporter.page().sum("blooio_up") == 1.0).then_some(()));
    let key = exporter.folder.path().join("one.key");
    std::fs::write(&key, "bl_live_wrong").unwrap();
    let answer = reload(&exporter);
    assert_eq!((answer.status, answer.body.trim()), (200, "configuration read again; changed: one"));
    eventually("the wrong key is refused", || (exporter.page().sum("blooio_up") == 0.0).then_some(()));
    std::fs::write(&key, key_of("one")).unwrap();
    // No reload: a 401 has it read again.
    eventually("the right key is found", || (exporter.page().sum("blooio_up") == 1.0).then_some(()));
    assert!(!exporter.log().contains("bl_live_"), "no key in the log");
    settle(&exporter, "one", &simulated);
}

#[test]
fn two_accounts_with_one_key_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let key = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    key("one.key", "bl_live_SIMULATED_1");
    key("same.key", " bl_live_SIMULATED_1\n");
    key("two.key", "bl_live_SIMULATED_2");
    let check = |second: &str| {
        let config = folder.path().join("config.yml");
        let yaml = format!("accounts:\n- {{name: a, api_key_file: one.key}}\n- {{name: b, {second}}}\n");
        std::fs::write(&config, yaml).unwrap();
        let output = crate::support::program()
            .args(["--config.check", "--web.listen-address=127.0.0.1:0", "--config.file"])
            .arg(&config)
            .output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check("api_key_file: two.key").0, Some(0));
    assert_eq!(check("api_key_file: same.key, base_url: \"https://other.example\"").0, Some(0));
    let (code, said) = check("api_key_file: same.key");
    assert!(code == Some(1) && said.contains("accounts a and b have the same key"), "{said}");
}
