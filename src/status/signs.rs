//! What changes on a line before its messages fail: the conditions of the alerts that look back no further than a day, in
//! the words of the dashboards. What is compared with a week is left to Prometheus.

use super::content::Level;
use super::figures::{percent, quantile, seconds, share, span};
use super::thresholds::*;
use crate::domain::{Author, Code, Counter, Histogram, HistogramKey, LineId, Position, Protocol, Status};

/// How fast the budget of delivery may burn over an hour: worth a look, and bad.
const BURN: [f64; 2] = [DELIVERY_BURN[1].0, DELIVERY_BURN[0].0];
/// The same over longer spans, with how it is to be taken.
const BURN_LONG: [((f64, i64), Level); 3] =
    [(DELIVERY_BURN[1], Level::Bad), (DELIVERY_BURN[2], Level::Bad), (DELIVERY_BURN[3], Level::Warning)];
/// Conversations that we may start in a day before it is worth a look.
const STARTED_DAY: f64 = NEW_PER_DAY as f64 * NEW_PER_DAY_SHARE;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// What a line has counted, and what waits at that moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    inbound: u64,
    failed: u64,
    ended: u64,
    imessages_sent: u64,
    imessages_delivered: u64,
    lost: u64,
    started: u64,
    answered: u64,
    positioned: u64,
    deep: u64,
    probes: u64,
    probes_failed: u64,
    waiting: u64,
}

impl Counts {
    /// Takes up a counter of the line.
    pub(super) fn add(&mut self, counter: Counter, value: u64) {
        match counter {
            Counter::Outbound { .. } => self.accepted += value,
            Counter::Inbound { .. } => self.inbound += value,
            Counter::Sent { protocol: Protocol::Imessage, .. } => self.imessages_sent += value,
            Counter::Delivered { protocol, .. } => {
                self.ended += value;
                if protocol == Protocol::Imessage {
                    self.imessages_delivered += value;
                }
            }
            Counter::Failed { .. } => {
                self.ended += value;
                self.failed += value;
            }
            Counter::Unconfirmed { protocol, .. } => {
                self.ended += value;
                // Most SMS never confirm.
                if protocol == Protocol::Imessage {
                    self.failed += value;
                }
            }
            Counter::LostImessage { .. } => self.lost += value,
            Counter::ConversationsStarted { by: Author::Us, .. } => self.started += value,
            Counter::ConversationsAnswered { .. } => self.answered += value,
            Counter::UnansweredMessages { position, .. } => {
                self.positioned += value;
                if matches!(position, Position::Fourth | Position::Later) {
                    self.deep += value;
                }
            }
            Counter::Probes { code, .. } => {
                self.probes += value;
                if code == Code::Status(502) {
                    self.probes_failed += value;
                }
            }
            _ => {}
        }
    }

    /// Takes up messages that are open.
    pub(super) fn add_open(&mut self, status: Status, count: u64) {
        if matches!(status, Status::Pending | Status::Queued) {
            self.waiting += count;
        }
    }
}

/// What is known of a line.
pub(super) struct Signs<'a> {
    pub(super) now: Counts,
    /// So many ms ago, or as far back as is known: what it had counted, and how many ms ago that was.
    pub(super) past: &'a dyn Fn(i64) -> (Counts, i64),
    /// Latencies of the window of the page.
    pub(super) latency: Option<&'a Histogram>,
    /// ms since the newest probe.
    pub(super) probed: Option<i64>,
}

type Found = Option<(Level, String)>;

impl Signs<'_> {
    /// What stands out, a sentence each.
    pub(super) fn found(&self, line: LineId) -> Vec<(Level, String)> {
        let found = [
            self.failing(),
            self.receipts(),
            self.slowed(line),
            self.lost(),
            self.started(),
            self.replies(),
            self.streaks(),
            self.stopped(),
            self.backlog(),
            self.device(),
        ];
        found.into_iter().flatten().collect()
    }

    /// How much was counted from so many ms ago until so many ms ago, and over how many ms that is.
    fn counted(&self, of: fn(&Counts) -> u64, from: i64, until: i64) -> (u64, i64) {
        let (before, reach) = (self.past)(from);
        let (end, until) = if until == 0 { (self.now, 0) } else { (self.past)(until) };
        (of(&end).saturating_sub(of(&before)), (reach - until).max(0))
    }

    fn since(&self, of: fn(&Counts) -> u64, from: i64) -> u64 {
        self.counted(of, from, 0).0
    }

    /// Over spans longer than that of the page, which says this of its own.
    fn failing(&self) -> Found {
        BURN_LONG.iter().find_map(|((factor, length), level)| {
            let (failed, reach) = self.counted(|c| c.failed, *length, 0);
            let ended = self.since(|c| c.ended, *length);
            let text = || format!("messages fail too often: {} over {}", share(failed, ended), span(reach));
            burns(failed, ended, *factor).then(|| (*level, text()))
        })
    }

    fn receipts(&self) -> Found {
        let [short, (day, least_share, least)] = [RECEIPTS[0], RECEIPTS[2]];
        [short.0, day].into_iter().find_map(|length| {
            let (sent, reach) = self.counted(|c| c.imessages_sent, length + RECEIPTS_DELAY, RECEIPTS_DELAY);
            let delivered = self.since(|c| c.imessages_delivered, length + RECEIPTS_DELAY);
            let level = match length == day {
                true if is_below(delivered, sent, least_share, least) => Level::Warning,
                true => Level::Good,
                false => unconfirmed(delivered, sent),
            };
            let text =
                || format!("iMessages get no receipts: {} over {}", share(delivered, sent), span(reach));
            (level != Level::Good).then(|| (level, text()))
        })
    }

    fn slowed(&self, line: LineId) -> Found {
        let key = HistogramKey::Latency { line, protocol: Protocol::Imessage };
        let latency = self.latency.filter(|latency| latency.count() >= SLOWED_MESSAGES)?;
        let median = quantile(latency, key, 0.5).filter(|median| *median > SLOWED_SECONDS)?;
        Some((Level::Warning, format!("iMessages became slow: half take more than {}", seconds(median))))
    }

    fn lost(&self) -> Found {
        let (lost, reach) = self.counted(|c| c.lost, LOST_WINDOW, 0);
        let text = || {
            let span = span(reach);
            format!("contacts cannot be reached by iMessage any more: {lost} messages over {span}")
        };
        (lost >= LOST_IMESSAGE).then(|| (Level::Warning, text()))
    }

    fn started(&self) -> Found {
        let found = |length: i64, is_high: fn(u64) -> bool| {
            let (started, reach) = self.counted(|c| c.started, length, 0);
            let text = || format!("it starts many new conversations: {started} over {}", span(reach));
            is_high(started).then(|| (Level::Warning, text()))
        };
        found(HOUR, |started| started >= NEW_PER_HOUR)
            .or_else(|| found(24 * HOUR, |started| started as f64 > STARTED_DAY))
    }

    fn replies(&self) -> Found {
        let (delay, day) = (REPLIES_DELAY, 24 * HOUR);
        let (started, reach) = self.counted(|c| c.started, day + delay, delay);
        let answered = self.since(|c| c.answered, day + delay);
        let spread = REPLIES_SIGMAS * (REPLIES_RATIO * (1.0 - REPLIES_RATIO) / started as f64).sqrt();
        let is_low =
            started >= REPLIES_STARTED && (answered as f64) < (REPLIES_RATIO - spread) * started as f64;
        let text = || format!("few contacts answer it: {} over {}", share(answered, started), span(reach));
        is_low.then(|| (Level::Warning, text()))
    }

    fn streaks(&self) -> Found {
        let (deep, reach) = self.counted(|c| c.deep, 24 * HOUR, 0);
        let all = self.since(|c| c.positioned, 24 * HOUR);
        let is_high = all >= STREAK_MESSAGES && deep as f64 > STREAK_RATIO * all as f64;
        let text = || {
            let span = span(reach);
            format!("it writes to contacts who do not answer: {} over {span}", percent(deep, all))
        };
        is_high.then(|| (Level::Warning, text()))
    }

    fn stopped(&self) -> Found {
        let (silent, day) = (SILENT_WINDOW, 24 * HOUR);
        let (sent, reach) = self.counted(|c| c.accepted, silent, 0);
        let (yesterday, covered) = self.counted(|c| c.accepted, day + silent, day);
        let inbound = self.since(|c| c.inbound, silent);
        // A shorter time than that says nothing.
        let is_known = [reach, covered].iter().all(|span| *span >= silent - HOUR);
        let has_stopped = sent == 0 && yesterday >= SILENT_MESSAGES && inbound >= STOPPED_INBOUND;
        (is_known && has_stopped).then(|| {
            (Level::Warning, format!("nothing is sent over {}, {yesterday} messages yesterday", span(reach)))
        })
    }

    fn backlog(&self) -> Found {
        let (before, reach) = (self.past)(BACKLOG_WINDOW);
        let waiting = self.now.waiting;
        let grows = reach > 0 && waiting > BACKLOG_MESSAGES && waiting > before.waiting;
        grows.then(|| (Level::Warning, format!("ever more messages wait: {waiting}")))
    }

    fn device(&self) -> Found {
        let (long, recent) = (DEVICE_ERRORS_WINDOW, DEVICE_ERRORS_RECENT);
        let (failed, reach) = self.counted(|c| c.probes_failed, long, 0);
        let all = self.since(|c| c.probes, long);
        let fails = failed >= DEVICE_ERRORS_COUNT && failed as f64 > DEVICE_ERRORS_RATIO * all as f64;
        if fails && self.since(|c| c.probes_failed, recent) > 0 {
            let text = format!(
                "the device answers only at times: {} failed over {}",
                share(failed, all),
                span(reach)
            );
            return Some((Level::Warning, text));
        }
        let age = self.probed.filter(|age| *age > NOT_PROBED_AGE)?;
        Some((Level::Warning, format!("the device is not probed for {}", span(age))))
    }
}

/// Whether `bad` of `all` are more than chance explains where the share `usual` is bad.
fn is_significant(bad: u64, all: u64, usual: f64) -> bool {
    let expected = usual * all as f64;
    bad as f64 > AT_LEAST + expected + SIGMAS * expected.sqrt()
}

fn is_below(part: u64, whole: u64, share: f64, least: u64) -> bool {
    whole >= least && (part as f64) < share * whole as f64
}

fn unconfirmed(delivered: u64, sent: u64) -> Level {
    let (_, least_share, least) = RECEIPTS[0];
    match is_below(delivered, sent, least_share, 1) {
        true if sent >= least => Level::Bad,
        true if is_significant(sent - delivered, sent, RECEIPTS_USUAL) => Level::Warning,
        _ => Level::Good,
    }
}

/// Whether the budget burns by this factor, and chance does not explain it.
fn burns(failed: u64, ended: u64, factor: f64) -> bool {
    let allowed = 1.0 - DELIVERY_OBJECTIVE;
    is_significant(failed, ended, allowed) && failed as f64 > factor * allowed * ended as f64
}

/// How a share of failures within the window of the page is to be taken.
pub(super) fn failing(failed: u64, ended: u64) -> Level {
    let [look, bad] = BURN.map(|factor| burns(failed, ended, factor));
    if bad {
        Level::Bad
    } else if look {
        Level::Warning
    } else {
        Level::Good
    }
}

/// How a share that left iMessage is to be taken.
pub(super) fn leaving(fell_back: u64, routed: u64) -> Level {
    let is_high = fell_back as f64 > (FALLBACK_USUAL + FALLBACK_RATIO) * routed as f64;
    if is_high && is_significant(fell_back, routed, FALLBACK_USUAL) { Level::Warning } else { Level::Good }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a line says that counted this since so many ms ago, and nothing before.
    fn said_since(now: Counts, ago: i64) -> Vec<(Level, String)> {
        let past = |at: i64| if at >= ago { (Counts::default(), at) } else { (now, at) };
        Signs { now, past: &past, latency: None, probed: None }.found(LineId(1))
    }

    fn texts(now: Counts, ago: i64) -> Vec<String> {
        said_since(now, ago).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn each_sign_is_told_from_its_limit_on() {
        let quiet = Counts {
            imessages_sent: 20,
            imessages_delivered: 12,
            lost: 4,
            started: 9,
            positioned: 20,
            deep: 4,
            ended: 20,
            failed: 3,
            waiting: 50,
            probes: 90,
            probes_failed: 4,
            ..Counts::default()
        };
        assert_eq!(said_since(quiet, 20 * MINUTE), []);
        let loud = Counts {
            imessages_delivered: 9,
            lost: 5,
            started: 15,
            deep: 5,
            failed: 4,
            waiting: 51,
            probes_failed: 5,
            ..quiet
        };
        assert_eq!(
            texts(loud, 20 * MINUTE),
            [
                "messages fail too often: 20 % (4 of 20) over 6 h",
                "iMessages get no receipts: 45 % (9 of 20) over 2 h",
                "contacts cannot be reached by iMessage any more: 5 messages over 6 h",
                "it starts many new conversations: 15 over 1 h",
                "it writes to contacts who do not answer: 25 % over 1 d",
                "ever more messages wait: 51",
                "the device answers only at times: 6 % (5 of 90) failed over 6 h",
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
    fn signs_of_a_day_are_told_of_a_small_line() {
        let day = 20 * HOUR;
        let counts = Counts {
            imessages_sent: 8,
            imessages_delivered: 4,
            started: 36,
            answered: 8,
            ..Counts::default()
        };
        assert_eq!(
            texts(Counts { failed: 5, ended: 100, ..counts }, day),
            [
                "iMessages get no receipts: 50 % (4 of 8) over 1 d",
                "it starts many new conversations: 36 over 1 d",
                "few contacts answer it: 22 % (8 of 36) over 1 d",
            ],
            "five of a hundred may be chance"
        );
        let quiet =
            Counts { imessages_delivered: 5, started: 35, answered: 10, failed: 8, ended: 300, ..counts };
        assert_eq!(texts(quiet, day), Vec::<String>::new());
        assert_eq!(
            said_since(Counts { failed: 10, ended: 100, ..Counts::default() }, day),
            [(Level::Warning, "messages fail too often: 10 % (10 of 100) over 1 d".to_owned())]
        );
        assert_eq!(
            said_since(Counts { failed: 20, ended: 100, ..Counts::default() }, day)[0].0,
            Level::Bad,
            "the same pages"
        );
        let few = Counts { imessages_sent: 7, started: 9, ..Counts::default() };
        assert_eq!(texts(few, day), Vec::<String>::new());
        assert_eq!(
            texts(Counts { lost: 9, ..Counts::default() }, 7 * HOUR),
            Vec::<String>::new(),
            "long ago"
        );
    }

    #[test]
    fn nothing_is_sent_only_where_yesterday_is_known_and_contacts_write() {
        let said = |yesterday: u64, inbound: u64, reach: i64| {
            let now = Counts { accepted: 100, inbound, ..Counts::default() };
            let past = |at: i64| {
                let at = at.min(reach);
                let accepted = if at > 26 * HOUR { 100 - yesterday } else { 100 };
                (Counts { accepted, ..Counts::default() }, at)
            };
            let signs = Signs { now, past: &past, latency: None, probed: None };
            signs.found(LineId(1)).into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        let day = 30 * HOUR;
        assert_eq!(said(12, 5, day), ["nothing is sent over 4 h, 12 messages yesterday"]);
        for (yesterday, inbound, reach) in [(11, 5, day), (12, 4, day), (12, 5, 26 * HOUR + MINUTE)] {
            assert_eq!(
                said(yesterday, inbound, reach),
                Vec::<String>::new(),
                "{yesterday} {inbound} {reach}"
            );
        }
    }

    #[test]
    fn a_device_that_is_not_probed_says_since_when() {
        let said = |age: i64| {
            let past = |at: i64| (Counts::default(), at);
            Signs { now: Counts::default(), past: &past, latency: None, probed: Some(age) }.found(LineId(1))
        };
        assert_eq!(said(20 * MINUTE), []);
        assert_eq!(said(21 * MINUTE)[0].1, "the device is not probed for 21 min");
    }

    #[test]
    fn a_median_is_told_of_enough_deliveries() {
        let key = HistogramKey::Latency { line: LineId(1), protocol: Protocol::Imessage };
        let of = |count: u64| {
            let mut latency = Histogram { counts: vec![0; key.bounds().len() + 1].into(), sum: 0.0 };
            latency.counts[key.bounds().iter().position(|bound| *bound == 60.0).unwrap()] = count;
            let past = |at: i64| (Counts::default(), at);
            Signs { now: Counts::default(), past: &past, latency: Some(&latency), probed: None }
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
            "Few contacts answer it",
            "Nothing is sent",
            "Ever more messages wait",
            "The device answers only at times",
            "The device is not probed",
            "It writes to contacts who do not answer",
        ] {
            assert!(overview.contains(&format!("\"text\": \"{words}\"")), "{words}");
        }
    }
}
