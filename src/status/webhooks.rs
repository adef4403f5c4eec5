//! What the status page shows of webhooks: those that are received, and the organisation's own receivers.

use super::content::{Fact, Level};
use super::figures::span;
use crate::domain::{Counter, View};
use crate::metrics::exposition::Received;

/// The facts of an account at `now`, local unix ms; none while no webhook is received and none can be listed. `strangers`
/// are the deliveries to paths of no account.
pub(super) fn facts(view: &View, received: Option<&Received>, strangers: u64, now: i64) -> Vec<Fact> {
    let of_feed = received.map(|received| of_feed(received, strangers, now)).unwrap_or_default();
    of_feed.into_iter().chain(of_trust(view)).chain(of_own(view)).collect()
}

/// Whether the feed is trusted, and what it did not announce.
fn of_trust(view: &View) -> Option<Fact> {
    let trusted = view.health.feed_trusted?;
    let missed: u64 = view
        .snapshot
        .counters
        .iter()
        .filter(|(key, _)| matches!(key, Counter::Missed { .. }))
        .map(|(_, count)| count)
        .sum();
    let state = if trusted { "trusted, polling is rarer" } else { "not trusted, polling as without it" };
    // Why, and whether that is new, is not known here: the alert looks at how the counter grows.
    let value = format!("{state}; {missed} never announced");
    Some(Fact { term: "Webhook feed", value, level: Level::Good })
}

/// How many deliveries had a path of no account.
pub(super) fn strangers(received: &[Received]) -> u64 {
    let none = received.iter().filter(|received| received.account == Received::NO_ACCOUNT);
    none.flat_map(|received| &received.rejected).map(|(_, count)| count).sum()
}

fn of_feed(received: &Received, strangers: u64, now: i64) -> Vec<Fact> {
    let events: u64 = received.events.iter().map(|(_, count)| count).sum();
    let (last, level) = match received.last_event {
        // The likeliest mistake of a new registration.
        None if strangers > 0 => {
            let what = format!(
                "none yet, and {strangers} deliveries to a path of no account: \
                 compare the end of the registered URL with the token"
            );
            (what, Level::Warning)
        }
        None => ("none yet".to_owned(), Level::Good),
        Some(at) => {
            (format!("{events}, the last {} ago", span((now - (at * 1000.0) as i64).max(0))), Level::Good)
        }
    };
    let rejected: Vec<String> = received
        .rejected
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let mut facts = vec![Fact { term: "Webhook events", value: last, level }];
    if !rejected.is_empty() {
        facts.push(Fact { term: "Webhooks rejected", value: rejected.join(", "), level: Level::Warning });
    }
    facts
}

/// Of the organisation's receivers: how many there are, and how many of them are inactive or have failed.
fn of_own(view: &View) -> Option<Fact> {
    let webhooks = &view.health.webhooks;
    let failed: u64 = webhooks.iter().filter_map(|webhook| webhook.failures).sum();
    let inactive = webhooks.iter().filter(|webhook| webhook.active == Some(false)).count();
    let receivers = match webhooks.len() {
        1 => "1 receiver".to_owned(),
        many => format!("{many} receivers"),
    };
    let failures = match failed {
        0 => "no failures".to_owned(),
        1 => "1 failure".to_owned(),
        many => format!("{many} failures"),
    };
    let value = match inactive {
        0 => format!("{receivers}, {failures}"),
        _ => format!("{receivers}, {failures}, {inactive} inactive"),
    };
    // Whether failures are old is not known here; the alert looks at how they grow.
    let level = if inactive > 0 { Level::Warning } else { Level::Good };
    (!webhooks.is_empty()).then_some(Fact { term: "Your webhooks", value, level })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Webhook;

    #[test]
    fn what_is_not_there_is_not_told() {
        assert!(facts(&View::default(), None, 0, 0).is_empty());
        let received = Received { events: vec![("message.sent", 0)], ..Received::default() };
        let told = facts(&View::default(), Some(&received), 0, 0);
        assert_eq!(told, [Fact { term: "Webhook events", value: "none yet".into(), level: Level::Good }]);
        let stranger = Received {
            account: Received::NO_ACCOUNT.into(),
            rejected: vec![("signature", 2)],
            ..Received::default()
        };
        let told = facts(&View::default(), Some(&received), strangers(&[received.clone(), stranger]), 0);
        assert!(told[0].value.contains("2 deliveries to a path of no account"), "{}", told[0].value);
        assert_eq!(told[0].level, Level::Warning);
    }

    #[test]
    fn a_feed_says_whether_it_is_trusted_and_what_it_did_not_announce() {
        let mut view = View::default();
        view.health.feed_trusted = Some(false);
        let told = facts(&view, None, 0, 0);
        assert_eq!(told[0].value, "not trusted, polling as without it; 0 never announced");
        view.health.feed_trusted = Some(true);
        assert_eq!(facts(&view, None, 0, 0)[0].value, "trusted, polling is rarer; 0 never announced");
    }

    #[test]
    fn events_rejections_and_own_receivers_are_told_in_figures() {
        let mut view = View::default();
        let webhook =
            |id: &str, failures, active| Webhook { id: id.into(), failures, last_triggered: None, active };
        view.health.webhooks = vec![webhook("wh_1", Some(7), Some(true)), webhook("wh_2", None, Some(false))];
        let received = Received {
            account: "a".into(),
            events: vec![("message.sent", 2), ("other", 1)],
            rejected: vec![("signature", 4), ("rate", 0), ("size", 1)],
            last_event: Some(1_000.0),
        };
        let told = facts(&view, Some(&received), 3, 1_060_000);
        let told: Vec<_> = told.iter().map(|fact| (fact.term, fact.value.as_str(), fact.level)).collect();
        assert_eq!(
            told,
            [
                ("Webhook events", "3, the last 1 min ago", Level::Good),
                ("Webhooks rejected", "4 signature, 1 size", Level::Warning),
                ("Your webhooks", "2 receivers, 7 failures, 1 inactive", Level::Warning),
            ]
        );
        for (failures, value) in [(0, "1 receiver, no failures"), (1, "1 receiver, 1 failure")] {
            view.health.webhooks = vec![webhook("wh_1", Some(failures), Some(true))];
            assert_eq!(facts(&view, None, 0, 0)[0].value, value);
        }
    }
}
