//! What changes on a line before its messages fail, within the window of the status page: the conditions of the alerts
//! that need no longer one, in the words of the dashboards.

use super::figures::{percent, quantile, seconds, share};
use crate::domain::{Author, Counter, Histogram, HistogramKey, LineId, Position, Protocol};
use crate::web::Level;

// The numbers of the alerts. A test below holds them against alerts/thresholds.py.
/// The objective of delivery, and how fast its budget may burn: worth a look, and bad.
const OBJECTIVE: f64 = 0.99;
const BURN: [f64; 2] = [6.0, 14.4];
/// What is more than chance: so many standard deviations, and so many more.
const SIGMAS: f64 = 4.0;
const AT_LEAST: f64 = 2.0;
/// Share of messages that leave iMessage on a usual line, and how much more is too much.
const FALLBACK_USUAL: f64 = 0.10;
const FALLBACK_MORE: f64 = 0.20;
/// Share of iMessages with a receipt, how many there must be, and the share without one on a usual line.
const RECEIPTS: f64 = 0.5;
const RECEIPTS_LEAST: u64 = 20;
const RECEIPTS_USUAL: f64 = 0.15;
/// Minutes within which most receipts come.
pub(super) const RECEIPTS_DELAY: i64 = 10;
/// Median of the latency in seconds, and of how many deliveries.
const SLOWED: f64 = 20.0;
const SLOWED_LEAST: u64 = 10;
/// Messages that left iMessage in chats in which it had worked.
const LOST: u64 = 5;
/// Conversations that we started.
const STARTED: u64 = 15;
/// Share of the messages at position 4 or beyond, and how many messages there must be.
const STREAKS: f64 = 0.20;
const STREAKS_LEAST: u64 = 20;

/// What a line has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    imessages_sent: u64,
    imessages_delivered: u64,
    lost: u64,
    started: u64,
    positioned: u64,
    deep: u64,
}

impl Counts {
    /// Takes up a counter of the line.
    pub(super) fn add(&mut self, counter: Counter, value: u64) {
        match counter {
            Counter::Sent { protocol: Protocol::Imessage, .. } => self.imessages_sent += value,
            Counter::Delivered { protocol: Protocol::Imessage, .. } => self.imessages_delivered += value,
            Counter::LostImessage { .. } => self.lost += value,
            Counter::ConversationsStarted { by: Author::Us, .. } => self.started += value,
            Counter::UnansweredMessages { position, .. } => {
                self.positioned += value;
                if matches!(position, Position::Fourth | Position::Later) {
                    self.deep += value;
                }
            }
            _ => {}
        }
    }
}

/// What is known of a line over a window.
pub(super) struct Signs<'a> {
    /// As of now.
    pub(super) now: Counts,
    /// At the start of the window.
    pub(super) before: Counts,
    /// So long ago that receipts of what was handed over by then should be there.
    pub(super) handed_over: Counts,
    /// Latencies of the window.
    pub(super) latency: Option<&'a Histogram>,
}

impl Signs<'_> {
    /// What stands out, a sentence each.
    pub(super) fn found(&self, line: LineId) -> Vec<(Level, String)> {
        let since = |of: fn(&Counts) -> u64| of(&self.now).saturating_sub(of(&self.before));
        let mut found = Vec::new();
        let sent = self.handed_over.imessages_sent.saturating_sub(self.before.imessages_sent);
        let delivered = since(|counts| counts.imessages_delivered);
        let level = unconfirmed(delivered, sent);
        if level != Level::Good {
            found.push((level, format!("iMessages get no receipts: {}", share(delivered, sent))));
        }
        let key = HistogramKey::Latency { line, protocol: Protocol::Imessage };
        let median = self.latency.filter(|latency| latency.count() >= SLOWED_LEAST);
        let median = median.and_then(|latency| quantile(latency, key, 0.5));
        if let Some(median) = median.filter(|median| *median > SLOWED) {
            found.push((
                Level::Warning,
                format!("iMessages became slow: half take more than {}", seconds(median)),
            ));
        }
        let lost = since(|counts| counts.lost);
        if lost >= LOST {
            let text = format!("contacts cannot be reached by iMessage any more: {lost} messages");
            found.push((Level::Warning, text));
        }
        let started = since(|counts| counts.started);
        if started >= STARTED {
            found.push((Level::Warning, format!("it starts many new conversations: {started}")));
        }
        let (deep, positioned) = (since(|counts| counts.deep), since(|counts| counts.positioned));
        if positioned >= STREAKS_LEAST && deep as f64 > STREAKS * positioned as f64 {
            let text = format!("it writes to contacts who do not answer: {}", percent(deep, positioned));
            found.push((Level::Warning, text));
        }
        found
    }
}

/// Whether `bad` of `all` are more than chance explains where the share `usual` is bad.
fn is_significant(bad: u64, all: u64, usual: f64) -> bool {
    let expected = usual * all as f64;
    bad as f64 > AT_LEAST + expected + SIGMAS * expected.sqrt()
}

fn unconfirmed(delivered: u64, sent: u64) -> Level {
    let is_low = sent > 0 && (delivered as f64) < RECEIPTS * sent as f64;
    match is_low {
        true if sent >= RECEIPTS_LEAST => Level::Bad,
        true if is_significant(sent - delivered, sent, RECEIPTS_USUAL) => Level::Warning,
        _ => Level::Good,
    }
}

/// How a share of failures is to be taken.
pub(super) fn failing(failed: u64, ended: u64) -> Level {
    let allowed = 1.0 - OBJECTIVE;
    let burns = |factor: f64| failed as f64 > factor * allowed * ended as f64;
    match is_significant(failed, ended, allowed) {
        true if burns(BURN[1]) => Level::Bad,
        true if burns(BURN[0]) => Level::Warning,
        _ => Level::Good,
    }
}

/// How a share that left iMessage is to be taken.
pub(super) fn leaving(fell_back: u64, routed: u64) -> Level {
    let is_high = fell_back as f64 > (FALLBACK_USUAL + FALLBACK_MORE) * routed as f64;
    if is_high && is_significant(fell_back, routed, FALLBACK_USUAL) { Level::Warning } else { Level::Good }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_are_those_of_the_alerts() {
        let thresholds = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/alerts/thresholds.py"));
        for limit in [
            format!("DELIVERY_OBJECTIVE = {OBJECTIVE}\n"),
            format!("    ({}, \"6h\"", BURN[0]),
            format!("    ({}, \"1h\"", BURN[1]),
            format!("SIGMAS = {SIGMAS}\n"),
            format!("AT_LEAST = {AT_LEAST}\n"),
            format!("FALLBACK_USUAL = {FALLBACK_USUAL:.2}\n"),
            format!("FALLBACK_RATIO = {FALLBACK_MORE:.2}\n"),
            format!("    (\"2h\", {RECEIPTS}, {RECEIPTS_LEAST}, \"critical\")"),
            format!("RECEIPTS_USUAL = {RECEIPTS_USUAL}\n"),
            format!("RECEIPTS_DELAY = \"{RECEIPTS_DELAY}m\"\n"),
            format!("SLOWED_SECONDS = {SLOWED}\n"),
            format!("SLOWED_MESSAGES = {SLOWED_LEAST}\n"),
            format!("LOST_IMESSAGE = {LOST}\n"),
            format!("NEW_PER_HOUR = {STARTED}\n"),
            format!("STREAK_RATIO = {STREAKS:.2}\n"),
            format!("STREAK_MESSAGES = {STREAKS_LEAST}\n"),
        ] {
            assert!(thresholds.contains(&limit), "alerts/thresholds.py has no {limit}");
        }
    }

    /// What a line that counted this within the window says.
    fn said(now: Counts) -> Vec<(Level, String)> {
        let signs = Signs { now, before: Counts::default(), handed_over: now, latency: None };
        signs.found(LineId(1))
    }

    #[test]
    fn each_sign_is_told_from_its_limit_on() {
        let quiet = Counts { lost: 4, started: 14, positioned: 20, deep: 4, ..Counts::default() };
        assert_eq!(said(Counts { imessages_sent: 20, imessages_delivered: 10, ..quiet }), []);
        let texts = |now: Counts| said(now).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        let loud = Counts { lost: 5, started: 15, positioned: 20, deep: 5, ..Counts::default() };
        assert_eq!(
            texts(Counts { imessages_sent: 20, imessages_delivered: 9, ..loud }),
            [
                "iMessages get no receipts: 45 % (9 of 20)",
                "contacts cannot be reached by iMessage any more: 5 messages",
                "it starts many new conversations: 15",
                "it writes to contacts who do not answer: 25 %",
            ]
        );
        assert_eq!(
            [(0, 0), (0, 7), (0, 12), (9, 19), (9, 20), (10, 20)].map(|(got, sent)| unconfirmed(got, sent)),
            [Level::Good, Level::Good, Level::Warning, Level::Good, Level::Bad, Level::Good]
        );
        assert_eq!(
            [(3, 3), (2, 20), (4, 20), (9, 100), (20, 150)].map(|(failed, ended)| failing(failed, ended)),
            [Level::Bad, Level::Good, Level::Bad, Level::Warning, Level::Warning]
        );
        assert_eq!([leaving(6, 20), leaving(10, 20)], [Level::Good, Level::Warning]);
    }

    #[test]
    fn a_median_is_told_of_enough_deliveries() {
        let key = HistogramKey::Latency { line: LineId(1), protocol: Protocol::Imessage };
        let of = |count: u64| {
            let mut latency = Histogram { counts: vec![0; key.bounds().len() + 1].into(), sum: 0.0 };
            latency.counts[key.bounds().iter().position(|bound| *bound == 60.0).unwrap()] = count;
            let nothing = Counts::default();
            Signs { now: nothing, before: nothing, handed_over: nothing, latency: Some(&latency) }
                .found(LineId(1))
        };
        assert_eq!(of(9), []);
        assert_eq!(of(10)[0].1, "iMessages became slow: half take more than 45 s");
    }

    #[test]
    fn the_words_are_those_of_the_dashboards() {
        let overview = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/dashboards/overview.json"));
        for words in [
            "Messages fail too often",
            "Many messages leave iMessage",
            "Messages are not handed over",
            "The device does not answer",
            "Blooio says that it is inactive",
            "iMessages get no receipts",
            "iMessages became slow",
            "Contacts cannot be reached by iMessage any more",
            "It starts many new conversations",
            "It writes to contacts who do not answer",
        ] {
            assert!(overview.contains(&format!("\"text\": \"{words}\"")), "{words}");
        }
    }
}
