//! Decides what the status page says of each account and line, from the committed views.

mod account;
mod line;

use super::content::{Fact, Holder, Level, StatusPage};
use super::figures::span;
use super::history::History;
use super::webhooks;
use crate::clock::rfc3339;
use crate::domain::{Histogram, View};
use crate::metrics::Registry;
use crate::metrics::exposition::{Lease, Leases, Received};

/// The least span that a rate is told of, in milliseconds.
const RATE_LEAST: i64 = 60_000;
const MINUTE: i64 = 60_000;

/// What the page says at this moment (local unix ms). `version` is the exporter's.
pub fn status(
    version: &str,
    registry: &Registry,
    history: &History,
    now: i64,
    received: &[Received],
) -> StatusPage {
    let display = registry.display();
    let window = (display.window_seconds * 1000.0) as i64;
    let mut problems = Vec::new();
    if !display.configured {
        problems.push(
            "The configuration could not be read again; the one before stays in force. The log says why."
                .to_owned(),
        );
    }
    let views = display.views();
    if views.iter().any(|view| !view.health.state_writable) {
        problems.push(
            "The state cannot be written; the figures stay at the last commit. The log says why.".to_owned(),
        );
    }
    let strangers = webhooks::strangers(received);
    let accounts = views.iter().map(|view| {
        let mut account =
            account::assess(view, |line| display.line_name(view, line).into_owned(), history, now, window);
        let received = received.iter().find(|received| received.account == view.account);
        account.facts.extend(webhooks::facts(view, received, strangers, now));
        account
    });
    StatusPage {
        version: version.to_owned(),
        taken_at: rfc3339(now),
        window: span(window),
        looks_back: views
            .iter()
            .map(|view| looks_back(view, history, now))
            .min()
            .map_or_else(|| span(0), span),
        problems,
        holders: Vec::new(),
        accounts: accounts.collect(),
    }
}

/// Which replica holds which account.
pub fn holders(leases: &Leases) -> Vec<Holder> {
    let holder = |lease: &Lease| {
        let (replica, level) = match (lease.held_until, lease.is_held, lease.holder.as_str()) {
            (Some(_), true, _) => ("this replica".to_owned(), Level::Good),
            (Some(_), false, _) => {
                ("this replica, whose lease could not be renewed in time".to_owned(), Level::Bad)
            }
            (None, _, "") => ("no replica; it is about to be taken over".to_owned(), Level::Warning),
            (None, _, other) => (other.to_owned(), Level::Good),
        };
        Holder { account: lease.account.clone(), replica, level }
    };
    leases.accounts.iter().map(holder).collect()
}

/// How far back the signs of an account's lines look at present, ms.
fn looks_back(view: &View, history: &History, now: i64) -> i64 {
    history.reach(&view.account, now + view.health.clock_offset.unwrap_or(0)).min(24 * 60 * MINUTE)
}

/// How an age is to be taken, by the ages from which it is worth a look, and bad; in milliseconds.
fn by_age(age: i64, [look, bad]: [i64; 2]) -> Level {
    match age {
        age if age >= bad => Level::Bad,
        age if age >= look => Level::Warning,
        _ => Level::Good,
    }
}

fn fact(term: &'static str, value: String, level: Level) -> Fact {
    Fact { term, value, level }
}

/// What was observed since.
fn difference(now: &Histogram, before: Option<&Histogram>) -> Histogram {
    let mut difference = now.clone();
    if let Some(before) = before {
        for (now, before) in difference.counts.iter_mut().zip(&before.counts) {
            *now = now.saturating_sub(*before);
        }
        difference.sum -= before.sum;
    }
    difference
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::content::AccountStatus;
    use super::super::thresholds::STUCK;
    use super::*;
    use crate::domain::{Counter, LineId, Protocol, SweepResult};

    #[test]
    fn each_account_has_a_holder_or_is_about_to_get_one() {
        let lease = |account: &str, held_until, is_held, holder: &str| Lease {
            account: account.to_owned(),
            held_until,
            is_held,
            holder: holder.to_owned(),
            epoch: 1,
        };
        let accounts = vec![
            lease("a", Some(9.0), true, "here:1"),
            lease("b", Some(9.0), false, "here:1"),
            lease("c", None, false, "there:1"),
            lease("d", None, false, ""),
        ];
        let told = holders(&Leases { accounts, ..Leases::default() });
        let levels: Vec<Level> = told.iter().map(|holder| holder.level).collect();
        assert_eq!(levels, [Level::Good, Level::Bad, Level::Good, Level::Warning]);
        assert_eq!((told[0].replica.as_str(), told[2].replica.as_str()), ("this replica", "there:1"));
    }

    #[test]
    fn an_age_is_judged_by_its_limits() {
        assert_eq!(
            [4, 5, 15].map(|minutes| by_age(minutes * MINUTE, STUCK)),
            [Level::Good, Level::Warning, Level::Bad]
        );
    }

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        for (millis, told) in
            [(-5, "0 s"), (999, "0 s"), (61_000, "1 min 1 s"), (3_600_000, "1 h"), (90_061_000, "1 d 1 h")]
        {
            assert_eq!(span(millis), told);
        }
    }

    /// A view of an account whose newest complete sweep ended an hour before `NOW`.
    fn view(change: impl FnOnce(&mut View)) -> View {
        let mut view = View { account: "a".to_owned(), ..View::default() };
        (view.snapshot.last_success, view.snapshot.listed_at) = (NOW - HOUR, NOW);
        (view.health.swept, view.health.chats) = (true, Some(20));
        change(&mut view);
        view
    }

    const HOUR: i64 = 60 * MINUTE;
    const NOW: i64 = 1000 * HOUR;

    fn shown(view: &View, history: &History) -> AccountStatus {
        account::assess(view, |_| String::new(), history, NOW, HOUR)
    }

    fn told(status: &AccountStatus, term: &str) -> Option<(String, Level)> {
        let fact = status.facts.iter().find(|fact| fact.term == term)?;
        Some((fact.value.clone(), fact.level))
    }

    fn partial_sweeps(count: u64) -> Vec<(Counter, u64)> {
        vec![(Counter::Sweeps { result: SweepResult::Partial }, count)]
    }

    #[test]
    fn a_few_unreadable_chats_are_a_warning_and_say_why() {
        let broken = |chats: u64| {
            view(|view| {
                view.health.problem = Some("1 chats are still to be read".to_owned());
                view.snapshot.unreadable[0] = chats;
                view.snapshot.unreadable_since = Some(NOW - 10 * MINUTE);
                view.snapshot.counters = partial_sweeps(8);
            })
        };
        let history = History::default();
        let status = shown(&broken(1), &history);
        assert_eq!(status.level, Level::Warning, "the other chats are read");
        assert_eq!(
            told(&status, "Unreadable chats"),
            Some(("1 not_found; the oldest for 10 min".to_owned(), Level::Warning))
        );
        assert_eq!(told(&status, "Last complete sweep").unwrap().1, Level::Warning);
        assert_eq!(shown(&broken(10), &history).level, Level::Warning);
        assert_eq!(shown(&broken(11), &history).level, Level::Bad, "an outage");
        let mut half = broken(1);
        half.health.chats = Some(1);
        assert_eq!(shown(&half, &history).level, Level::Bad, "all of the chats");
        assert_eq!(told(&shown(&view(|_| ()), &history), "Unreadable chats"), None);

        let earlier = Arc::new(broken(1));
        history.sample(std::slice::from_ref(&earlier), NOW - 2 * MINUTE);
        assert_eq!(shown(&broken(1), &history).level, Level::Bad, "no sweep ended in the meantime");
    }

    #[test]
    fn an_unreadable_chat_whose_messages_are_about_to_be_lost_is_bad() {
        let status = |age: i64| {
            let view = view(|view| {
                view.snapshot.unreadable[2] = 1;
                view.snapshot.unreadable_since = Some(NOW - age);
            });
            told(&shown(&view, &History::default()), "Unreadable chats").unwrap()
        };
        assert_eq!(status(12 * 24 * HOUR).1, Level::Warning);
        assert_eq!(
            status(12 * 24 * HOUR + HOUR),
            ("1 server_error; the oldest for 12 d 1 h".to_owned(), Level::Bad)
        );
    }

    #[test]
    fn a_line_without_receipts_says_so_and_a_dead_one_says_only_that() {
        let line = LineId(1);
        let counted = |sent: u64, delivered: u64, answered: bool| {
            view(|view| {
                view.snapshot.last_success = NOW - MINUTE;
                view.snapshot.lines.insert(line, "+1".to_owned());
                let device = view.snapshot.devices.entry(line).or_default();
                device.answered = Some(answered);
                view.snapshot.counters = vec![
                    (Counter::Sent { line, protocol: Protocol::Imessage }, sent),
                    (Counter::Delivered { line, protocol: Protocol::Imessage }, delivered),
                ];
            })
        };
        let history = History::default();
        history.sample(&[Arc::new(counted(100, 100, true))], NOW - HOUR);
        history.sample(&[Arc::new(counted(130, 101, true))], NOW - 10 * MINUTE);
        let verdict = |view: &View| shown(view, &history).lines.remove(0).verdict;
        assert_eq!(
            verdict(&counted(140, 102, true)),
            "iMessages get no receipts: 7 % (2 of 30) over 50 min",
            "what was handed over within ten minutes may still get one"
        );
        assert_eq!(verdict(&counted(140, 130, true)), "nothing stands out");
        assert_eq!(verdict(&counted(140, 102, false)), "the device does not answer");
        let fresh = shown(&counted(140, 102, true), &History::default()).lines.remove(0).verdict;
        assert_eq!(
            fresh, "nothing stands out",
            "what was counted before the first sample is of an unknown time"
        );
    }

    #[test]
    fn a_line_of_an_account_that_is_not_read_looks_neither_well_nor_better_than_it_was() {
        let line = LineId(1);
        let of = |last_success: i64, answered: bool| {
            let view = view(|view| {
                view.snapshot.lines.insert(line, "+1".to_owned());
                view.snapshot.devices.entry(line).or_default().answered = Some(answered);
                view.snapshot.last_success = last_success;
            });
            let status = shown(&view, &History::default()).lines.remove(0);
            (status.level, status.verdict)
        };
        assert_eq!(of(NOW - 5 * MINUTE + 1, true), (Level::Good, "nothing stands out".to_owned()));
        let (level, verdict) = of(NOW - 5 * MINUTE, true);
        assert_eq!(level, Level::Unknown);
        assert!(verdict.starts_with("not seen since ") && verdict.ends_with(" UTC"), "{verdict}");
        let (level, verdict) = of(NOW - HOUR, false);
        assert_eq!(level, Level::Bad);
        assert!(verdict.starts_with("the device does not answer; not seen since "), "{verdict}");
    }

    #[test]
    fn of_two_spans_the_worse_is_told() {
        let sign = |level, text: &str| (level, text.to_owned());
        let mut problems = vec![sign(Level::Warning, "messages fail too often: 9 %")];
        line::add_signs(&mut problems, vec![sign(Level::Warning, "messages fail too often: 8 % over 1 d")]);
        assert_eq!(problems, [sign(Level::Warning, "messages fail too often: 9 %")]);
        let worse = sign(Level::Bad, "messages fail too often: 8 % over 6 h");
        line::add_signs(&mut problems, vec![worse.clone(), sign(Level::Warning, "nothing is sent over 4 h")]);
        assert_eq!(problems, [worse, sign(Level::Warning, "nothing is sent over 4 h")]);
    }

    #[test]
    fn the_verdict_names_an_exhausted_budget_an_overdue_listing_and_a_wrong_clock() {
        let verdict = |change: &dyn Fn(&mut View)| {
            let view = view(|view| {
                view.health.up = true;
                change(view);
            });
            let status = shown(&view, &History::default());
            (status.verdict, status.level)
        };
        let warned = |text: &str| (format!("collecting; {text}"), Level::Warning);
        assert_eq!(verdict(&|_| ()), ("collecting".to_owned(), Level::Good));
        assert_eq!(
            verdict(&|view| view.health.exhausted = Some("the budget is exhausted".to_owned())),
            warned("the budget is exhausted")
        );
        assert_eq!(
            verdict(&|view| view.snapshot.listed_at = NOW - 6 * HOUR),
            ("collecting".to_owned(), Level::Good)
        );
        assert_eq!(
            verdict(&|view| view.snapshot.listed_at = NOW - 7 * HOUR),
            warned("the newest complete listing of all chats is 7 h old")
        );
        for (offset, text) in [
            (31_000, "this host's clock is 31 s behind the API's"),
            (-120_000, "this host's clock is 2 min ahead of the API's"),
        ] {
            assert_eq!(verdict(&|view| view.health.clock_offset = Some(offset)), warned(text));
        }
        assert_eq!(
            verdict(&|view| view.health.clock_offset = Some(-30_000)),
            ("collecting".to_owned(), Level::Good)
        );
    }
}
