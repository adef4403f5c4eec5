//! `examples/replicas` without containers: the same processes with the same flags, environment, files, roles and SQL. What only a
//! container engine or a cluster decides (images, networks, probes, mounts) is read and compared, and not run.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use blooio_exporter::simulator;
use serde_json::Value;

use super::watch::{accounts_of, scrape};
use crate::chain::prometheus::Prometheus;
use crate::stores::server::Server;
use crate::support::{Process, Simulated, eventually, get, in_repository, program, wall_clock};

const EXAMPLE: &str = "examples/replicas";
/// Of the simulated account.
const KEY: &str = "bl_live_SIMULATED";

fn text(name: &str) -> String {
    std::fs::read_to_string(in_repository(EXAMPLE).join(name)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The objects of a manifest, by kind.
fn objects(name: &str) -> BTreeMap<String, Value> {
    let objects =
        text(name).split("\n---\n").map(yaml).filter(|object| !object.is_null()).collect::<Vec<_>>();
    objects.into_iter().map(|object| (object["kind"].as_str().unwrap().to_owned(), object)).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Writes a file with a mode.
fn write(path: &Path, mode: u32, content: &str) {
    let _ = std::fs::remove_file(path);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.unwrap().write_all(content.as_bytes()).unwrap();
}

/// Replaces what must be there.
fn replaced(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (before, after)| {
        assert!(text.contains(before), "the example lacks {before}:\n{text}");
        text.replace(before, after)
    })
}

fn world() -> Simulated {
    let scenario = simulator::scenario("steady").unwrap();
    Simulated::start(scenario.world(5, wall_clock()))
}

/// A loopback port that was free a moment ago.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether `/-/active` says that a replica holds an account.
fn is_active(replica: &Process) -> bool {
    get(replica.address, "/-/active", &[]).status == 200
}

fn holder(replicas: &[Option<Process>]) -> usize {
    eventually("one replica holds the account", || {
        let active: Vec<usize> =
            (0..replicas.len()).filter(|nth| replicas[*nth].as_ref().is_some_and(is_active)).collect();
        assert!(active.len() < 2, "{active:?} hold the account");
        active.first().copied()
    })
}

/// What is on the host at a path of a service's container.
fn mounted(service: &Value, path: &str) -> PathBuf {
    let volumes = texts(&service["volumes"]);
    let found = volumes.iter().find_map(|volume| {
        let mut parts = volume.split(':');
        let (host, container) = (parts.next()?, parts.next()?);
        (container == path).then(|| in_repository(EXAMPLE).join(host))
    });
    found.unwrap_or_else(|| panic!("nothing is mounted at {path}: {volumes:?}"))
}

#[test]
fn the_composition_runs_as_processes() {
    let compose = yaml(&text("compose.yml"));
    let services = &compose["services"];
    let folder = tempfile::tempdir().unwrap();

    // PostgreSQL with the role, the database and the password of the example, on a socket.
    let postgres = &services["postgres"];
    let environment = |name: &str| postgres["environment"][name].as_str().unwrap();
    let (user, database) = (environment("POSTGRES_USER"), environment("POSTGRES_DB"));
    let password = environment("POSTGRES_PASSWORD");
    assert_eq!(texts(&postgres["command"]), ["-c", "unix_socket_directories=/sockets"]);
    let server = Server::start(&[]);
    let role = format!("CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{password}'");
    server.sql("postgres", &role);
    server.sql("postgres", &format!("CREATE DATABASE {database} OWNER {user}"));
    server.write("pg_hba.conf", "local all postgres trust\nlocal all all scram-sha-256\n");
    server.sql("postgres", "SELECT pg_reload_conf()");

    let world = world();
    let names: Vec<String> =
        services.as_object().unwrap().keys().filter(|name| name.starts_with("replica-")).cloned().collect();
    assert_eq!(names.len(), 3);
    let key = folder.path().join("key");
    write(&key, 0o400, KEY);
    let mut targets = BTreeMap::new();
    let mut commands = Vec::new();
    for name in &names {
        let service = &services[name];
        let arguments = texts(&service["command"]);
        assert_eq!(arguments[0], "--config.file");
        let config = std::fs::read_to_string(mounted(service, &arguments[1])).unwrap();
        assert!(mounted(service, "/sockets").ends_with("sockets"));
        assert_eq!(service["secrets"][0]["source"], "key");
        let published = texts(&service["ports"])[0].rsplit(':').next().unwrap().to_owned();
        let port = port();
        targets.insert(format!("{name}:{published}"), format!("127.0.0.1:{port}"));
        // Only places differ, and the API that is asked.
        let config = replaced(
            &config,
            &[
                ("%2Fsockets", &server.socket().replace('/', "%2F")),
                (&format!("0.0.0.0:{published}"), &format!("127.0.0.1:{port}")),
                ("/run/secrets/key", key.to_str().unwrap()),
            ],
        );
        let config = format!("{config}blooio: {{base_url: \"{}\"}}\n", world.base_url());
        let path = folder.path().join(format!("{name}.yml"));
        std::fs::write(&path, config).unwrap();
        let mut command = program();
        command.arg(&arguments[0]).arg(path).stdout(Stdio::null());
        for (variable, value) in service["environment"].as_object().unwrap() {
            command.env(variable, value.as_str().unwrap());
        }
        commands.push(command);
    }
    let mut replicas: Vec<Option<Process>> =
        commands.iter_mut().map(|command| Process::try_start(command).ok()).collect();
    assert!(replicas.iter().all(Option::is_some), "each replica starts");

    // Prometheus with the configuration and the rules of the example.
    let rules = mounted(&services["prometheus"], "/etc/prometheus/blooio.rules.yml");
    let mut changes: Vec<(&str, &str)> =
        targets.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
    changes.push(("blooio.rules.yml", rules.to_str().unwrap()));
    let prometheus = Prometheus::configured(&replaced(&text("prometheus.yml"), &changes));
    let one_holder = "sum(blooio_exporter_lease_held) == 1 and count(blooio_up{instance=\"blooio\"}) == 1";
    eventually("Prometheus sees one holder", || prometheus.query(one_holder));

    // `docker compose kill replica-1`, of the replica that holds the account.
    let nth = holder(&replicas);
    let counted = prometheus.query("sum(blooio_inbound_messages_total)").unwrap_or_default();
    replicas[nth].take().unwrap().kill();
    let began = Instant::now();
    let next = holder(&replicas);
    let took = began.elapsed();
    assert!(next != nth && took < Duration::from_secs(20), "{took:?}");
    eventually("Prometheus sees the new holder", || prometheus.query(one_holder));
    eventually("counting goes on", || {
        (prometheus.query("sum(blooio_inbound_messages_total)")? > counted).then_some(())
    });
    assert_eq!(prometheus.query("sum(resets(blooio_inbound_messages_total[5m]))"), Some(0.0));
    println!("examples/replicas as processes: the account moved {took:.1?} after kill -9");
}

/// A scrape configuration of Prometheus with the relabelling of a ServiceMonitor.
fn relabelling(rules: &Value) -> Vec<BTreeMap<String, Value>> {
    let name = |name: &str| match name {
        "sourceLabels" => "source_labels".to_owned(),
        "targetLabel" => "target_label".to_owned(),
        other => other.to_owned(),
    };
    let of_rule = |rule: &Value| {
        rule.as_object().unwrap().iter().map(|(key, value)| (name(key), value.clone())).collect()
    };
    rules.as_array().unwrap().iter().map(of_rule).collect()
}

#[test]
fn the_service_monitor_relabels_as_the_prometheus_file() {
    let monitor = yaml(&text("servicemonitor.yaml"));
    let endpoint = &monitor["spec"]["endpoints"][0];
    let file = yaml(&text("prometheus.yml"));
    let job = &file["scrape_configs"][0];
    assert_eq!(relabelling(&endpoint["metricRelabelings"]), relabelling(&job["metric_relabel_configs"]));
    assert_eq!(endpoint["interval"], file["global"]["scrape_interval"]);
    // Prometheus accepts its relabelling of targets.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prometheus.yml");
    let config = serde_json::json!({"scrape_configs": [{
        "job_name": "monitor",
        "relabel_configs": relabelling(&endpoint["relabelings"]),
        "metric_relabel_configs": relabelling(&endpoint["metricRelabelings"]),
    }]});
    std::fs::write(&path, config.to_string()).unwrap();
    let output = Command::new("promtool").args(["check", "config"]).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // It selects the service of the manifest, and the port that the service has.
    let objects = objects("kubernetes.yaml");
    let (service, deployment) = (&objects["Service"], &objects["Deployment"]);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for selector in [
        &monitor["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &deployment["spec"]["selector"]["matchLabels"],
        &objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    assert_eq!(endpoint["port"], service["spec"]["ports"][0]["name"]);
}

#[test]
fn the_manifests_run_as_processes() {
    let (manifest, objects) = (text("kubernetes.yaml"), objects("kubernetes.yaml"));
    let deployment = &objects["Deployment"]["spec"];
    let pod = &deployment["template"]["spec"];
    let container = &pod["containers"][0];
    let folder = tempfile::tempdir().unwrap();

    // The SQL that docs/replicas.md names, and a password that the server asks for.
    let mut server = Server::start(&[]);
    server.sql("postgres", "CREATE ROLE blooio LOGIN PASSWORD 'from-a-file'");
    server.sql("postgres", "CREATE DATABASE blooio");
    server.sql("postgres", "GRANT CREATE ON DATABASE blooio TO blooio");
    server.write("pg_hba.conf", "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
    let database = server.listen("127.0.0.1");

    // The secret as its comment says, with the mode that the pod gives to it.
    // It is octal, as Kubernetes reads YAML; the parser of these tests follows a later version, in which it is not.
    let (_, mode) = manifest.split_once("defaultMode: 0").unwrap();
    let mode = u32::from_str_radix(mode.lines().next().unwrap(), 8).unwrap();
    let web = format!(
        "basic_auth_users: {{prometheus: {}}}\nauth_excluded_paths: [/-/healthy, /-/ready, /-/active]\n",
        bcrypt::hash("scrape", 4).unwrap()
    );
    assert!(manifest.contains("auth_excluded_paths: [/-/healthy, /-/ready, /-/active]"));
    for (name, content) in [
        ("clinic.key", KEY),
        ("shop.key", "bl_live_OTHER"),
        ("db-password", "from-a-file"),
        ("web.yml", &web),
    ] {
        write(&folder.path().join(name), mode, content);
    }
    let mounts = container["volumeMounts"].as_array().unwrap();
    let secrets =
        mounts.iter().find(|mount| mount["name"] == "secret").unwrap()["mountPath"].as_str().unwrap();
    let ports = &container["ports"][0]["containerPort"];
    let config = replaced(
        objects["ConfigMap"]["data"]["config.yml"].as_str().unwrap(),
        &[
            (secrets, folder.path().to_str().unwrap()),
            ("postgres.example", &format!("127.0.0.1:{database}")),
            (&format!("0.0.0.0:{ports}"), "127.0.0.1:0"),
        ],
    );
    let world = world();
    let config = format!("{config}blooio: {{base_url: \"{}\"}}\n", world.base_url());
    std::fs::write(folder.path().join("config.yml"), config).unwrap();
    let argument = texts(&container["args"])[0].clone();
    assert_eq!(argument, "--config.file=/etc/blooio-exporter/config.yml");

    let start = || {
        let mut command = program();
        command.arg(format!("--config.file={}", folder.path().join("config.yml").display()));
        // JSON logs name the address in another way than the harness reads.
        command.args(["--log.format", "logfmt"]).stdout(Stdio::null());
        Process::start(command)
    };
    let replicas: Vec<Process> = (0..deployment["replicas"].as_u64().unwrap()).map(|_| start()).collect();
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap();
        for replica in &replicas {
            eventually(path, || (get(replica.address, path, &[]).status == 200).then_some(()));
        }
    }
    // Two accounts on three replicas: two are active, on a page each, which asks for the scraper's password.
    eventually("two replicas hold an account each", || {
        (replicas.iter().filter(|replica| is_active(replica)).count() == 2).then_some(())
    });
    let scraper = "Authorization: Basic cHJvbWV0aGV1czpzY3JhcGU=";
    for replica in &replicas {
        assert!(scrape(replica.address).is_none(), "the page is shown without a password");
        // An account is held before its first page.
        eventually("what a replica holds is on its page", || {
            let page = crate::support::Page::parse(&get(replica.address, "/metrics", &[scraper]).body);
            (accounts_of(&page).len() == usize::from(is_active(replica))).then_some(())
        });
    }
    // A pod is asked to stop, and is killed after its grace period.
    let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().unwrap());
    for replica in replicas {
        let (code, took) = replica.terminate();
        assert!(code == Some(0) && took < grace / 2, "{code:?} after {took:?}");
    }
}
