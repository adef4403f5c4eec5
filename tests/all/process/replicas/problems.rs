//! What the program says about each problem of its database: docs/errors.md quotes it, and `inputs` compares.

use std::net::TcpListener;
use std::process::Command;
use std::sync::LazyLock;

use crate::process::security::{Authority, SERVER};
use crate::stores::server::{Pooler, Server};

/// Servers with every problem that a row of the page names.
struct Databases {
    /// Without TLS, with passwords over TCP.
    plain: Server,
    plain_port: u16,
    _standby: Server,
    standby_port: u16,
    /// With a certificate for the name localhost, and without passwords.
    tls: Server,
    tls_port: u16,
    authority: Authority,
    elsewhere: Authority,
    pooler: Pooler,
    /// Accepts connections and never answers.
    silent: TcpListener,
}

static DATABASES: LazyLock<Databases> = LazyLock::new(Databases::start);

const ROLES: &str = "CREATE ROLE exporter LOGIN PASSWORD 'right'; CREATE ROLE nobody LOGIN PASSWORD 'right';
    CREATE ROLE no_slot LOGIN PASSWORD 'right' CONNECTION LIMIT 0; CREATE ROLE old LOGIN PASSWORD 'right';
    CREATE ROLE exporter_tls LOGIN";
/// The first rule that fits decides.
const RULES: &str = "local all all trust\nhostssl all exporter_tls 127.0.0.0/8 trust\nhost all exporter_tls 127.0.0.0/8 reject\n\
    host all postgres 127.0.0.0/8 trust\nhost all all 127.0.0.0/8 scram-sha-256\n";
/// A server that says of itself that it is PostgreSQL 12: nothing older than the supported versions can be installed.
const VERSION_12: &str = "ALTER ROLE old SET search_path = public, pg_catalog;
    CREATE FUNCTION public.current_setting(name text) RETURNS text LANGUAGE sql AS $$
        SELECT CASE name WHEN 'server_version_num' THEN '120022' ELSE pg_catalog.current_setting(name) END $$";

fn with_rules(settings: &[&str]) -> Server {
    let server = Server::start(settings);
    server.sql("postgres", ROLES);
    server.write("pg_hba.conf", RULES);
    server.sql("postgres", "SELECT pg_reload_conf()");
    server
}

impl Databases {
    fn start() -> Databases {
        let mut plain = with_rules(&[]);
        let plain_port = plain.listen("127.0.0.1");
        for (name, sql) in [
            ("good", ""),
            ("old", VERSION_12),
            (
                "theirs",
                "CREATE SCHEMA blooio_exporter AUTHORIZATION exporter; CREATE TABLE blooio_exporter.theirs (x int)",
            ),
        ] {
            plain.sql("postgres", &format!("CREATE DATABASE {name} OWNER exporter"));
            plain.sql(name, sql);
        }
        plain.sql("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
        let mut standby = with_rules(&[]);
        standby.crash();
        standby.write("standby.signal", "");
        let standby_port = standby.listen("127.0.0.1");
        let (authority, elsewhere) = (Authority::new("authority"), Authority::new("elsewhere"));
        let mut tls = with_rules(&[]);
        certify(&tls, &authority, false);
        tls.listen("127.0.0.1,127.0.0.2");
        let tls_port = tls.port();
        tls.restart_with("ssl=on");
        let pooler = Pooler::start(&plain, "max_client_conn = 0");
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        Databases {
            plain,
            plain_port,
            _standby: standby,
            standby_port,
            tls,
            tls_port,
            authority,
            elsewhere,
            pooler,
            silent,
        }
    }

    /// Arranges a problem. Returns the URL with it, and the authority that is named.
    fn arrange(&self, problem: &str) -> (String, Option<&Authority>) {
        let tcp = |user: &str, database: &str| {
            (format!("postgres://{user}@127.0.0.1:{}/{database}", self.plain_port), None)
        };
        let over_tls = |host: &str| format!("postgres://exporter_tls@{host}:{}/postgres", self.tls_port);
        match problem {
            "nothing listens" => ("postgres://exporter@127.0.0.1:1/good".to_owned(), None),
            "no server at the socket" => ("postgres://exporter@/good?host=%2Fnonexistent".to_owned(), None),
            "no answer" => {
                let address = self.silent.local_addr().unwrap();
                (format!("postgres://exporter@{address}/good"), None)
            }
            "no such database" => tcp("exporter", "missing"),
            "a wrong password" | "no password" => tcp("exporter", "good"),
            "no such user" => tcp("stranger", "good"),
            "a user without privileges" => tcp("nobody", "good"),
            "no free connection" => tcp("no_slot", "good"),
            "a pooler without free clients" => (self.pooler.url("good"), None),
            "a standby" => (format!("postgres://exporter@127.0.0.1:{}/postgres", self.standby_port), None),
            "a standby and a host that is down" => {
                (format!("postgres://exporter@127.0.0.1:1,127.0.0.1:{}/postgres", self.standby_port), None)
            }
            "PostgreSQL 12" => tcp("old", "old"),
            "the encoding LATIN1" => tcp("exporter", "latin"),
            "tables of another program" => tcp("exporter", "theirs"),
            "tables of a later version" | "tables without their key" => {
                let change = match problem {
                    "tables of a later version" => "UPDATE blooio_exporter.state SET version = 99",
                    _ => "ALTER TABLE blooio_exporter.state DROP COLUMN key",
                };
                let database = self.plain.database();
                let url = self.plain.url("postgres", &database);
                drop(crate::stores::kinds::open(&url));
                self.plain.sql(&database, change);
                (format!("postgres://postgres@127.0.0.1:{}/{database}", self.plain_port), None)
            }
            "a server without TLS" => (tcp("exporter", "good").0, Some(&self.authority)),
            "a server that requires TLS" => (over_tls("127.0.0.1"), None),
            "another authority" => (over_tls("localhost"), Some(&self.elsewhere)),
            "a certificate of another name" => (over_tls("127.0.0.2"), Some(&self.authority)),
            "an expired certificate" => {
                certify(&self.tls, &self.authority, true);
                self.tls.sql("postgres", "SELECT pg_reload_conf()");
                (over_tls("localhost"), Some(&self.authority))
            }
            other => panic!("no problem is called {other}"),
        }
    }
}

fn certify(server: &Server, authority: &Authority, expired: bool) {
    let (certificate, key) = authority.sign("localhost", SERVER, expired);
    server.write("server.crt", &certificate);
    server.write("server.key", &key);
}

/// Adds the arguments and the environment of a program that meets a problem.
pub(crate) fn meet(problem: &str, command: &mut Command, folder: &std::path::Path) {
    let (url, authority) = DATABASES.arrange(problem);
    command.args(["--web.listen-address=127.0.0.1:0", "--blooio.base-url=http://127.0.0.1:1/v2/api"]);
    command.arg(format!("--state.url={url}")).env("BLOOIO_API_KEY", "bl_live_SIMULATED");
    if let Some(authority) = authority {
        let file = folder.join("ca.pem");
        std::fs::write(&file, &authority.pem).unwrap();
        command.arg("--state.ca-file").arg(file);
    }
    match problem {
        "no password" => command.env_remove("PGPASSWORD"),
        "a wrong password" => command.env("PGPASSWORD", "canary"),
        _ => command.env("PGPASSWORD", "right"),
    };
}

/// A message without what differs from run to run: ports, folders of sockets, names of databases and times.
pub(crate) fn plain(said: &str) -> String {
    assert!(!said.contains("canary"), "{said}");
    let databases = &*DATABASES;
    let silent = databases.silent.local_addr().unwrap().port();
    let ports = [databases.plain_port, databases.standby_port, databases.tls_port, silent];
    let said = ports.iter().fold(said.to_owned(), |said, port| said.replace(&format!(":{port}"), ":5432"));
    let said = said.replace(databases.pooler.socket(), "/run/postgresql");
    let words = said.split(' ').map(|word| match word.split_once("/test") {
        Some((place, number)) if number.trim_end_matches(':').parse::<u32>().is_ok() => {
            format!("{place}/db:")
        }
        _ => word.to_owned(),
    });
    let said = words.collect::<Vec<_>>().join(" ");
    // rustls says since when a certificate has expired, in seconds that pass.
    match said.split_once("certificate expired: ") {
        Some((before, after)) => {
            format!("{before}certificate expired: ...{}", &after[after.find(");").unwrap()..])
        }
        None => said,
    }
}
