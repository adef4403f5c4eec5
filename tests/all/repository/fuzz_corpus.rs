//! Whatever arrives, the edge neither panics nor lets nonsense in.
//!
//! A stable stand-in for a coverage-guided fuzzer: seeded mutations of bytes and of structure, over what the
//! simulator answers and over `tests/corpus/`, whose files are also replayed as they are. A file that made
//! something fail belongs there.
//!
//! ```text
//! BLOOIO_MUTATIONS=1000000 cargo test --test all fuzz
//! ```

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use blooio_exporter::api::{decode, retry};
use blooio_exporter::config::{Flags, Settings};
use blooio_exporter::feed::{body, signature};
use blooio_exporter::secret::Secret;
use blooio_exporter::simulator::{Knobs, Request, Setup, Shares, World};
use exporter_web::WebConfig;

/// Tokens that parsers are known to stumble over.
const NASTY: &[&str] = &[
    "null",
    "true",
    "-1",
    "1e400",
    "NaN",
    "1790000000000.5",
    "9223372036854775808",
    "\"\"",
    "\"..\"",
    "[]",
    "{}",
    "[[[[",
    "}}",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\"\u{202e}\"",
    "-0",
    "1e-400",
    "&a",
    "*a",
    ": ",
    "\n",
    "\t",
];

/// What reads the bytes; it may refuse them, and checks what it takes.
type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("list_chats", |bytes| {
        if let Ok(page) = decode::chats(bytes) {
            for row in page.rows {
                assert!((0..100_000_000_000_000).contains(&row.last_at), "a time that is none");
                let id = row.id.expose();
                assert!(!matches!(id, "" | "." | "..") && !id.chars().any(char::is_control), "{id:?}");
            }
        }
    }),
    ("list_messages", |bytes| {
        if let Ok(page) = decode::messages(bytes) {
            for row in page.rows {
                assert!((1..100_000_000_000_000).contains(&row.sent_at), "a time that is none");
                assert!(!row.id.expose().is_empty());
            }
        }
    }),
    ("get_message", |bytes| {
        if let Ok(page) = decode::one_message(bytes) {
            assert_eq!(page.len(), 1);
        }
    }),
    ("background", |bytes| {
        let _ = decode::background(bytes);
    }),
    ("numbers", |bytes| {
        let _ = decode::numbers(bytes);
    }),
    ("config", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let env = |name: &str| (name == "BLOOIO_API_KEY").then(|| "canary-key".to_owned());
        match Settings::resolve(&Flags::default(), &env, Some((Path::new("fuzz.yml"), text))) {
            Ok(settings) => assert!(!settings.accounts.is_empty()),
            Err(error) => {
                let error = error.to_string();
                assert!(!error.contains("canary-key"), "{error}");
                assert!(!error.trim().is_empty());
            }
        }
    }),
    ("web_config", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Err(error) = WebConfig::parse(Path::new("fuzz.yml"), text) {
            let error = error.to_string();
            // Line, key and advice; nothing of what stands in the file, where every secret has a dollar sign.
            assert!(!error.contains('$'), "{error}");
            assert!(error.starts_with("fuzz.yml:") && error.lines().count() == 1, "{error}");
        }
    }),
    ("webhook_body", |bytes| {
        if let Ok(events) = body::events(bytes) {
            assert!(events.len() <= body::MAX_EVENTS);
            for event in events {
                let ids = [&event.message, &event.external, &event.group];
                assert!(ids.into_iter().flatten().all(|id| (1..=256).contains(&id.expose().len())));
            }
        }
    }),
    ("webhook_signature", |bytes| {
        // Whatever the header is, it is believed only with the one signature that the secret gives for the body.
        let secret = [Secret::new("whsec_example_secret".to_owned())];
        let good = b"a031050aeb41a7ef072aefefdece109e8ca7db26d85348b8b64a911dac4e2987";
        let body = br#"{"event":"message.received","message_id":"m_123","text":"Hi there!","sender":"+15555550123"}"#;
        if signature::verify(&[bytes], body, 1_700_000_000, &secret).is_ok() {
            let lower = bytes.to_ascii_lowercase();
            assert!(lower.windows(good.len()).any(|part| part == good), "another signature");
            assert!(bytes.windows(12).any(|part| part == b"t=1700000000"), "another time");
        }
    }),
    ("retry_after", |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let wait = retry::parse_retry_after(text, SystemTime::now());
        assert!(retry::pause(false, wait, 1) <= retry::LONGEST_PAUSE);
        assert!(wait != Some(Duration::ZERO));
    }),
];

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Good answers to begin with.
fn answers(target: &str) -> Vec<Vec<u8>> {
    let mut world = World::new(Setup {
        page_cap: 4,
        shares: Shares { odd: 0.3, unusable: 0.2, failed: 0.3, ..Shares::default() },
        knobs: Knobs { extra_fields: 0.2, dropped_keys: 0.2, ..Knobs::default() },
        ..Setup::small(9)
    });
    let (now, key) = (world.now_ms(), world.setup().key.clone());
    let chats: Vec<String> = world.chat_ids().into_iter().take(6).collect();
    let message = world.truth().entries().find(|entry| entry.visible && entry.chat == chats[0]).unwrap();
    let encode = |id: &str| id.replace('+', "%2B").replace('@', "%40");
    let targets: Vec<String> = match target {
        "list_chats" => (0..6).map(|n| format!("/chats?offset={n}&limit=4")).collect(),
        "list_messages" => chats.iter().map(|id| format!("/chats/{}/messages?limit=4", encode(id))).collect(),
        "get_message" => vec![format!("/chats/{}/messages/{}", encode(&message.chat), message.id)],
        "background" => chats.iter().map(|id| format!("/chats/{}/background", encode(id))).collect(),
        "numbers" => vec!["/me/numbers".to_owned()],
        "retry_after" => return vec![b"120".to_vec(), b"Sat, 21 Nov 2026 10:01:00 GMT".to_vec()],
        _ => return Vec::new(),
    };
    targets.iter().map(|target| world.respond(now, &Request::get(target, &key)).body.to_vec()).collect()
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    for _ in 0..rng.usize(1..4) {
        let at = rng.usize(0..=bytes.len());
        let end = (at + rng.usize(0..40)).min(bytes.len());
        match rng.u8(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(0..8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                let to = rng.usize(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            4 | 5 => {
                // A whole value, from one mark of structure to the next, becomes another.
                let mark = |byte: &u8| b":,[]{}\n".contains(byte);
                let from = bytes[..at].iter().rposition(mark).map_or(0, |place| place + 1);
                let to = bytes[at..].iter().position(mark).map_or(bytes.len(), |place| at + place);
                bytes.splice(from..to, NASTY[rng.usize(0..NASTY.len())].bytes());
            }
            _ => drop(bytes.splice(at..at, NASTY[rng.usize(0..NASTY.len())].bytes())),
        }
        bytes.truncate(1 << 20);
    }
}

#[test]
fn the_corpus_is_replayed_as_it_is() {
    let mut files = 0;
    for (name, target) in TARGETS {
        for (_, bytes) in corpus(name) {
            target(&bytes);
            files += 1;
        }
        for bytes in answers(name) {
            target(&bytes);
        }
    }
    assert!(files >= 18);
}

#[test]
fn no_mutation_gets_through_the_edge() {
    let mutations: u64 = std::env::var("BLOOIO_MUTATIONS").map_or(200_000, |number| number.parse().unwrap());
    for (name, target) in TARGETS {
        let seeds: Vec<Vec<u8>> =
            corpus(name).into_iter().map(|(_, bytes)| bytes).chain(answers(name)).collect();
        for seed in 0..mutations {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = seeds[rng.usize(0..seeds.len())].clone();
            mutate(&mut bytes, &mut rng);
            let outcome = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(outcome.is_ok(), "{name}, mutation {seed}: {}", String::from_utf8_lossy(&bytes));
        }
    }
    println!("{mutations} mutations for each of {} targets", TARGETS.len());
}
