//! Every limit of the program in one table: what it bounds, its value, and what happens when it is reached.
//!
//! The constants are beside the code that enforces them; docs/limits.md shows this table, and a test compares the two.

use std::fmt::Write as _;

use crate::api::{decode, endpoint, http, retry};
use crate::collect::{self, pages};
use crate::domain::ledger;
use crate::feed::{body, receiver, signature};
use crate::web::{WebOptions, limits as web};
use crate::{app, files, logging, terminal};

/// A bound on what others can make the exporter do or hold.
#[derive(Clone, Debug)]
pub struct Limit {
    /// What is bounded, as the table of docs/limits.md says it.
    pub of: &'static str,
    /// By how much, as people write it.
    pub value: String,
    /// What happens when it is reached.
    pub reached: &'static str,
}

fn limit(of: &'static str, value: impl ToString, reached: &'static str) -> Limit {
    Limit { of, value: value.to_string(), reached }
}

fn bytes(bytes: u64) -> String {
    match (bytes >> 20, bytes >> 10) {
        (0, kib) => format!("{kib} KiB"),
        (mib, _) => format!("{mib} MiB"),
    }
}

fn seconds(duration: std::time::Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Every limit, in the order of the table in docs/limits.md.
pub fn table() -> Vec<Limit> {
    [api(), account(), server(), webhooks(), files_and_process()].concat()
}

fn api() -> Vec<Limit> {
    vec![
        limit(
            "body of an API answer, decompressed",
            bytes(http::MAX_BODY as u64),
            "the answer is rejected as a whole (`code=\"body\"`), and requested again later",
        ),
        limit(
            "rows of an API answer",
            decode::MAX_ROWS,
            "the same; decoding stops at the first row too many",
        ),
        limit(
            "nesting of an API answer above 1 MiB",
            decode::MAX_NESTING,
            "the answer is rejected as a whole",
        ),
        limit(
            "bodies above 1 MiB in memory",
            "1 read and 1 decoded at a time, over all accounts",
            "the next one waits for a second, and is then rejected as too large",
        ),
        limit(
            "body of an API error",
            bytes(http::MAX_ERROR_BODY as u64),
            "the rest is not read; the status counts",
        ),
        limit(
            "name lookups of one account at a time",
            http::MAX_LOOKUPS,
            "further requests wait, and time out (`code=\"timeout\"`)",
        ),
    ]
}

fn account() -> Vec<Limit> {
    vec![
        limit(
            "requests of one account under way",
            format!(
                "one for each request per second of the budget, at least {} and at most {}, and {} that have stalled",
                collect::engine::PARALLEL.0,
                collect::engine::PARALLEL.1,
                collect::engine::STALLED_BESIDE
            ),
            "further ones wait; one that is not answered within a second has stalled. The top of the list and two probes come on top",
        ),
        limit(
            "pause that an answer asks for (`Retry-After`)",
            seconds(retry::LONGEST_PAUSE),
            "the API is asked again then, however long the pause was to be",
        ),
        limit(
            "pause after a 429 that names none",
            format!(
                "{}, doubled up to {}",
                seconds(retry::DEFAULT_PAUSE),
                seconds(retry::LONGEST_DEFAULT_PAUSE)
            ),
            "the API is asked again then",
        ),
        limit(
            "time until a rejected key is tried again",
            format!(
                "{}, or `--collector.interval` where that is longer",
                seconds(collect::engine::LONGEST_REJECTED)
            ),
            "the key is tried again",
        ),
        limit(
            "id of a chat or a message in a path",
            format!("{} bytes", endpoint::MAX_ID),
            "the chat is unreadable (`reason=\"identifier\"`)",
        ),
        limit(
            "lines that an account tells apart",
            ledger::MAX_LINES,
            "further ones share `line=\"overflow\"`",
        ),
        limit(
            "name of a line",
            format!("{} bytes", ledger::MAX_LINE_NAME),
            "the line shares `line=\"overflow\"`",
        ),
        limit(
            "pages of one range of messages without a total",
            pages::MOST_PAGES,
            "the read ends in doubt, and the chat is unreadable when that happens again",
        ),
    ]
}

fn server() -> Vec<Limit> {
    let options = WebOptions::default();
    vec![
        limit(
            "connections, over all addresses",
            options.max_connections,
            "the one that behaves least like a scraper is evicted; never one whose answer is being made",
        ),
        limit("request head", bytes(options.max_head_bytes as u64), "431"),
        limit("time for a request head, TLS handshake included", seconds(options.head_timeout), "closed"),
        limit("wait for the next request on a connection", seconds(options.idle_timeout), "closed"),
        limit("time for a client to take an answer", seconds(options.write_timeout), "reset"),
        limit("age of a connection", seconds(options.max_age), "closed after the answer under way"),
        limit("time for answers under way at a stop", seconds(options.drain), "their connections are cut"),
        limit(
            "passwords that wait to be verified",
            web::MAX_WAITING,
            "the network with most of them loses one: 503 with `Retry-After: 1`",
        ),
        limit("passwords verified at a time", 1, "the others wait; networks take turns"),
        limit(
            "networks whose number of verifications is remembered",
            web::MAX_NETWORKS,
            "all are forgotten, as they are when no request waits",
        ),
        limit(
            "remembered verdicts on passwords, right and wrong each",
            web::MAX_REMEMBERED,
            "a random one is forgotten",
        ),
        limit("cost of a bcrypt hash", web::MAX_COST, "the file is rejected"),
        limit("web configuration file", bytes(web::MAX_FILE_BYTES), "the file is rejected"),
        limit("file of certificates or a key", bytes(web::MAX_PEM_BYTES), "the file is rejected"),
        limit("certificates in a file", web::MAX_CERTIFICATES, "the file is rejected"),
        limit(
            "reading of the web configuration",
            format!("1 at a time; {}", seconds(web::SLOW_READING)),
            "reported as failed; the configuration in force stays",
        ),
        limit(
            "reloads over HTTP",
            format!("1 per {}", seconds(app::limits::RELOAD_INTERVAL)),
            "429; repeated outcomes are not logged",
        ),
    ]
}

fn webhooks() -> Vec<Limit> {
    vec![
        limit(
            "connections of the webhook receiver",
            receiver::MAX_CONNECTIONS,
            "the one is evicted whose head or body has taken longest; the metrics page has its own",
        ),
        limit("body of a webhook delivery", bytes(receiver::MAX_BODY as u64), "413"),
        limit("time for the body of a delivery", seconds(receiver::BODY_TIME), "408"),
        limit(
            "deliveries to one account",
            format!("{} per second, {} at once", receiver::RATE, receiver::BURST),
            "429 with `Retry-After: 1`",
        ),
        limit(
            "age of a delivery's signature, and how far it may be ahead",
            seconds(std::time::Duration::from_secs(signature::TOLERANCE.unsigned_abs())),
            "401",
        ),
        limit("signatures of one delivery", signature::MAX_SIGNATURES, "401"),
        limit("events of one delivery", body::MAX_EVENTS, "the rest is not read"),
        limit(
            "events of one account that wait for its collector",
            app::limits::HINTS,
            "503: Blooio sends them again",
        ),
    ]
}

fn files_and_process() -> Vec<Limit> {
    vec![
        limit("configuration file", bytes(files::MAX_CONFIG_BYTES), "the file is rejected"),
        limit("API key, webhook token or secret", bytes(files::MAX_KEY_BYTES), "the file is rejected"),
        limit(
            "reading of the configuration",
            format!("1 at a time; {}", seconds(app::limits::READING)),
            "the reload has failed",
        ),
        limit(
            "log lines, of `warn` and above and of the rest each",
            format!("{} per second, {} at once", logging::LINES_PER_SECOND, logging::LINES_AT_ONCE),
            "dropped; their number is logged",
        ),
        limit(
            "log lines that wait for a reader that stalls",
            logging::LINES_WAITING.to_string(),
            "further ones are dropped; their number is logged",
        ),
        limit("cell of a table of `inspect`", format!("{} characters", terminal::MAX_CELL), "cut"),
        limit(
            "stop after SIGTERM, whatever hangs",
            seconds(app::limits::STOP),
            "the process ends without order",
        ),
    ]
}

/// The table as docs/limits.md shows it.
pub fn markdown() -> String {
    let mut text = "| limit | value | when it is reached |\n|---|---|---|\n".to_owned();
    for Limit { of, value, reached } in table() {
        let _ = writeln!(text, "| {of} | {value} | {reached} |");
    }
    text
}
