//! Random content of a state, and how two contents are compared.

use std::fmt::Write as _;

use blooio_exporter::domain::{
    Absence, Author, Cause, Chat, ChatKey, ChatKind, Code, Conversation, Counter, Delta, Device, Endpoint,
    Histogram, HistogramKey, LineId, Listing, MessageId, Missing, Open, Outage, Place, Progress, Protocol,
    Reason, Restored, Told, Tracked, Unreadable,
};

/// Everything of an account as text, independent of the order in which a store returns it. Floats are shown bit by bit.
pub(crate) fn text(restored: &Restored) -> String {
    let mut text = format!("{:?}\n", restored.progress);
    let mut section = |name: &str, mut lines: Vec<String>| {
        lines.sort_unstable();
        for line in lines {
            writeln!(text, "{name} {line}").unwrap();
        }
    };
    let told = &restored.told;
    section("line", restored.lines.iter().map(|row| format!("{row:?}")).collect());
    section("device", restored.devices.iter().map(|row| format!("{row:?}")).collect());
    section("chat", restored.chats.iter().map(|row| format!("{row:?}")).collect());
    section("message", restored.messages.iter().map(|row| format!("{row:?}")).collect());
    section("conversation", told.conversations.iter().map(|row| format!("{row:?}")).collect());
    section("waiting", told.waiting.iter().map(|row| format!("{row:?}")).collect());
    section("lost", told.lost.iter().map(|row| format!("{row:?}")).collect());
    section("total", totals(&restored.counters, &restored.histograms));
    text
}

/// The lines that only one of two contents has.
pub(crate) fn difference<'a>(expected: &'a str, found: &'a str) -> Vec<String> {
    let only = |one: &'a str, other: &'a str, sign: &str| -> Vec<String> {
        let lines = one.lines().filter(|line| !other.lines().any(|known| known == *line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    [only(expected, found, "expected"), only(found, expected, "found")].concat()
}

/// Counters and histograms, one line each.
pub(crate) fn totals(counters: &[(Counter, u64)], histograms: &[(HistogramKey, Histogram)]) -> Vec<String> {
    let histogram = |(key, histogram): &(HistogramKey, Histogram)| {
        format!("{key:?} {:?} {:016x}", histogram.counts, histogram.sum.to_bits())
    };
    let mut lines: Vec<String> = counters.iter().map(|row| format!("{row:?}")).collect();
    lines.extend(histograms.iter().map(histogram));
    lines.sort_unstable();
    lines
}

fn choose<T: Copy>(rng: &mut fastrand::Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())]
}

fn integer(rng: &mut fastrand::Rng) -> i64 {
    match rng.u8(..6) {
        0 => choose(rng, &[0, 1, -1, i64::MAX, i64::MIN]),
        _ => rng.i64(0..2_000_000_000_000),
    }
}

fn maybe<T>(rng: &mut fastrand::Rng, value: impl FnOnce(&mut fastrand::Rng) -> T) -> Option<T> {
    rng.bool().then(|| value(rng))
}

fn line(rng: &mut fastrand::Rng) -> LineId {
    LineId(choose(rng, &[0, 1, 2, 3, 300, u16::MAX]))
}

/// One of a few keys, so that rows are overwritten and deleted, and keys whose bytes have every sign.
fn key(rng: &mut fastrand::Rng) -> u128 {
    let few = u128::from(rng.u8(0..6)) << 1;
    choose(rng, &[few, few, few, u128::MAX << 1, 1 << 127])
}

fn chat(rng: &mut fastrand::Rng) -> Chat {
    let listed = Listing {
        last_at: maybe(rng, |rng| rng.i64(1..)),
        last_id: maybe(rng, |rng| MessageId(key(rng)).undirected()),
        messages: maybe(rng, |rng| rng.u32(..)),
        inbound: maybe(rng, |rng| rng.u32(..)),
        outbound: maybe(rng, |rng| rng.u32(..)),
        times: maybe(rng, integer),
    };
    Chat {
        audited_at: maybe(rng, |rng| rng.i64(1..)),
        changed_since: maybe(rng, integer),
        deep: rng.bool(),
        explained: maybe(rng, |rng| rng.i64(0..)),
        line: maybe(rng, line),
        outage: maybe(rng, |rng| Outage { reason: choose(rng, Unreadable::ALL), since: integer(rng) }),
        absence: Absence {
            listings: rng.u8(..),
            since: integer(rng),
            not_found: rng.u8(..),
            not_found_since: integer(rng),
        },
        unshown: rng.bool(),
        listed_in: 0,
        shown_at: 0,
        ..Chat::new(choose(rng, ChatKind::ALL), listed, integer(rng))
    }
}

fn message(rng: &mut fastrand::Rng) -> (Tracked, Option<Open>) {
    let packed = i64::from(line(rng).0) << 24 | i64::from(rng.u8(..3)) << 16 | i64::from(rng.u8(..));
    let tracked = Tracked::unpack(integer(rng), packed).unwrap();
    let open = maybe(rng, |rng| Open {
        seen_at: maybe(rng, integer),
        missing: maybe(rng, |rng| Missing { since: integer(rng), last: integer(rng) }),
        ..Open::new(ChatKey(key(rng)))
    });
    (tracked, open)
}

fn conversation(rng: &mut fastrand::Rng) -> Conversation {
    Conversation {
        newest: integer(rng),
        streak: rng.u32(..),
        ours_at: integer(rng),
        line: line(rng),
        awaits: maybe(rng, line),
        imessage_since: maybe(rng, integer),
    }
}

fn place(rng: &mut fastrand::Rng) -> Place {
    Place { chat: ChatKey(key(rng)), sent_at: integer(rng), line: line(rng) }
}

fn counter(rng: &mut fastrand::Rng) -> Counter {
    let (line, protocol) = (line(rng), choose(rng, Protocol::ALL));
    match rng.u8(..6) {
        0 => Counter::Outbound { line },
        1 => Counter::Failed { line, protocol, reason: choose(rng, Reason::ALL) },
        2 => Counter::Requests { endpoint: choose(rng, Endpoint::ALL), code: Code::Status(503) },
        3 => Counter::Throttled { cause: choose(rng, Cause::ALL) },
        4 => Counter::ConversationsStarted { line, by: choose(rng, Author::ALL) },
        _ => Counter::Late,
    }
}

fn float(rng: &mut fastrand::Rng) -> f64 {
    let any = f64::from_bits(rng.u64(..));
    // Without negative zero, which no sum of durations is, and of which SQLite drops the sign.
    let any = if any == 0.0 { 0.0 } else { any };
    choose(rng, &[0.0, f64::MIN_POSITIVE / 2.0, f64::MAX, 0.1 + 0.2, if any.is_nan() { 1.5 } else { any }])
}

fn histogram(rng: &mut fastrand::Rng) -> (HistogramKey, Histogram) {
    let key = match rng.u8(..3) {
        0 => HistogramKey::Delay,
        1 => HistogramKey::ReplyDelay { line: line(rng) },
        _ => HistogramKey::CommitDuration,
    };
    let count = |rng: &mut fastrand::Rng| choose(rng, &[0, 1, 77, u64::MAX, i64::MAX as u64 + 1]);
    let counts = (0..=key.bounds().len()).map(|_| count(rng)).collect();
    (key, Histogram { counts, sum: float(rng) })
}

/// Rows with distinct keys.
fn rows<K: PartialEq, V>(
    rng: &mut fastrand::Rng,
    most: usize,
    mut row: impl FnMut(&mut fastrand::Rng) -> (K, V),
) -> Vec<(K, V)> {
    let mut rows: Vec<(K, V)> = Vec::new();
    for _ in 0..rng.usize(..=most) {
        let (key, value) = row(rng);
        if rows.iter().all(|(known, _)| *known != key) {
            rows.push((key, value));
        }
    }
    rows
}

/// A commit with up to a few rows of every kind.
pub(crate) fn delta(rng: &mut fastrand::Rng) -> Delta {
    let name = |rng: &mut fastrand::Rng| {
        let names = ["+13105550101", "", "a\0b", "\\0", "it's \"q\" \\ ünïcödé 🦀", "\u{7f}\n\t"];
        choose(rng, &names).to_owned()
    };
    Delta {
        is_whole: rng.u8(..12) == 0,
        progress: Progress {
            baseline: integer(rng),
            floor: integer(rng),
            listed_at: integer(rng),
            watermark: integer(rng),
            last_success: integer(rng),
            shown_at: integer(rng),
            history: integer(rng),
        },
        lines: rows(rng, 2, |rng| (line(rng), name(rng))),
        devices: rows(rng, 2, |rng| {
            let device = Device {
                probed_at: maybe(rng, integer),
                answered: maybe(rng, |rng| rng.bool()),
                active: maybe(rng, |rng| rng.bool()),
                last_active: maybe(rng, integer),
            };
            (line(rng), device)
        }),
        chats: rows(rng, 3, |rng| (ChatKey(key(rng)), maybe(rng, chat))),
        messages: rows(rng, 4, |rng| (MessageId(key(rng)), maybe(rng, message))),
        told: Told {
            conversations: rows(rng, 2, |rng| (ChatKey(key(rng)), maybe(rng, conversation))),
            waiting: rows(rng, 2, |rng| (MessageId(key(rng)), maybe(rng, place))),
            lost: rows(rng, 2, |rng| (MessageId(key(rng)), maybe(rng, place))),
        },
        counters: rows(rng, 4, |rng| (counter(rng), choose(rng, &[0, 1, 42, u64::MAX, 1 << 63]))),
        histograms: rows(rng, 2, histogram),
    }
}
