//! Conversations: who writes because of what, what the faults of a line do to it, and the answer key.

use super::tests::{run, settle};
use super::*;

const START: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;

fn two_lines(seed: u64) -> World {
    let line = Conversations { started_per_day: 2_000.0, inbound_per_day: 0.0, ..Conversations::default() };
    let line = line.faster(60.0);
    let setup = Setup { seed, start_ms: START, ..decay::setup(vec![line; 2]) };
    let shares = Shares { long_tail: 0.0, ..setup.shares.clone() };
    World::new(Setup { pace: 20.0, shares, ..setup })
}

fn of_line(talk: &Talk, line: &str) -> (u64, u64, usize) {
    let started = talk.started.get(&(line.to_owned(), "us".to_owned())).copied().unwrap_or(0);
    let answered = talk.answered.get(line).copied().unwrap_or(0);
    (started, answered, talk.reply_delays.get(line).map_or(0, Vec::len))
}

#[test]
fn contacts_reply_because_they_were_written_to() {
    let mut world = two_lines(3);
    run(&mut world, 240);
    settle(&mut world);
    let talk = world.truth().talk(START, MINUTE);
    for line in world.lines() {
        let (started, answered, replies) = of_line(&talk, &line);
        assert!((250..420).contains(&started), "{started}");
        let share = answered as f64 / started as f64;
        // Six of ten first messages are answered, and half of the later ones.
        assert!((0.6..0.9).contains(&share), "{share}");
        let mut delays = talk.reply_delays[&line].clone();
        delays.sort_by(f64::total_cmp);
        // The reply is to a message of five seconds or less in the queue, after five seconds in the median.
        assert!(replies > 300 && (3.0..15.0).contains(&delays[replies / 2]), "{}", delays[replies / 2]);
        assert!(delays[replies * 19 / 20] > 4.0 * delays[replies / 2], "no long tail");
    }
    let positions: u64 = talk.unanswered_messages.values().sum();
    let outbound = world.truth().entries().filter(|e| e.direction == "outbound" && e.time_sent_ms > START);
    assert_eq!(positions, outbound.count() as u64);
    assert!(talk.lost_imessage.values().sum::<u64>() * 50 < positions, "{:?}", talk.lost_imessage);
}

#[test]
fn a_fault_of_a_line_changes_that_line_alone() {
    let figures = |fault: &str, value: Option<f64>| {
        let mut world = two_lines(4);
        let lines = world.lines();
        if !fault.is_empty() {
            world.switch_on(fault, Tuning { value, ..Tuning::line(&lines[0]) }).unwrap();
        }
        run(&mut world, 240);
        settle(&mut world);
        let talk = world.truth().talk(START, MINUTE);
        let (truth, entries) = (world.truth().summary(START), world.truth().entries());
        let entries: Vec<Entry> = entries.filter(|e| e.time_sent_ms > START).collect();
        lines
            .into_iter()
            .map(move |line| {
                let (started, answered, replies) = of_line(&talk, &line);
                let failed =
                    truth.failed.iter().filter(|(key, _)| key.0 == line).map(|(_, n)| n).sum::<u64>();
                let of = |direction: &str| {
                    entries.iter().filter(|e| e.line == line && e.direction == direction).count() as f64
                };
                let delivered = truth.delivered.get(&(line.clone(), "imessage".to_owned())).copied();
                let (count, sum) =
                    truth.latency.get(&(line.clone(), "imessage".to_owned())).copied().unwrap_or_default();
                let lost = talk.lost_imessage.get(&line).copied().unwrap_or(0);
                [
                    answered as f64 / started as f64,
                    replies as f64 / of("outbound"),
                    delivered.unwrap_or(0) as f64 / of("outbound"),
                    sum / count.max(1) as f64,
                    lost as f64 / of("outbound"),
                    failed as f64 / of("outbound"),
                    of("inbound"),
                ]
            })
            .collect::<Vec<_>>()
    };
    let well = figures("", None);
    let [answered, replies, delivered, latency, lost, failed, inbound] = [0, 1, 2, 3, 4, 5, 6];
    let falls = |fault: &str, value, which: &[usize]| {
        let found = figures(fault, value);
        for n in 0..7 {
            let (before, after, other) = (well[0][n], found[0][n], found[1][n]);
            let limit = if n == lost || n == failed { 0.01 } else { 0.35 * before };
            let falls = after < 0.5 * before;
            assert!((other - well[1][n]).abs() < limit, "{fault}: figure {n} of the other line: {other}");
            if n != lost && n != latency {
                assert_eq!(
                    falls && before > 0.02,
                    which.contains(&n),
                    "{fault}: figure {n}: {before} {after}"
                );
            }
        }
        found
    };
    let limited = falls("shadow-limited", None, &[answered, replies, delivered, inbound]);
    assert_eq!(limited[0][delivered], 0.0);
    falls("replies", Some(0.1), &[answered, replies, inbound]);
    falls("inbound-silent", None, &[answered, replies, inbound]);
    assert!(falls("slow", Some(10.0), &[])[0][latency] > 5.0 * well[0][latency]);
    let left = falls("imessage-share", Some(0.3), &[delivered]);
    assert!(left[0][lost] > 0.2 && well[0][lost] < 0.02);
}

#[test]
fn faults_of_lines_are_narrowed_down_or_rejected() {
    let mut world = two_lines(1);
    for (name, tuning) in [
        ("shadow-limited", Tuning::value(2.0)),
        ("replies", Tuning::share(0.5)),
        ("imessage-share", Tuning::value(2.0)),
        ("http-500", Tuning::value(1.0)),
        ("date-absent", Tuning::line("+13105550101")),
        ("slow", Tuning::line("+19999999999")),
    ] {
        assert!(world.switch_on(name, tuning).is_err(), "{name}");
    }
    let tuning = Tuning::parse("line=+13105550101&value=0.2").unwrap();
    assert_eq!(tuning, Tuning { value: Some(0.2), ..Tuning::line("+13105550101") });
    world.switch_on("replies", tuning).unwrap();
    for query in ["value=x", "lines=1", "endpoint=none", "chats=x"] {
        assert!(Tuning::parse(query).is_err(), "{query}");
    }
}

#[test]
fn a_campaign_starts_many_conversations_in_a_short_time() {
    let campaign = Campaign {
        first_ms: 30 * MINUTE,
        every_ms: 120 * MINUTE,
        over_ms: 10 * MINUTE,
        messages: 80,
        new: 1.0,
    };
    let line = Conversations { started_per_day: 0.0, campaign: Some(campaign), ..Conversations::default() };
    let mut world = World::new(Setup { start_ms: START, ..decay::setup(vec![line]) });
    let started = |world: &World| world.truth().talk(START, MINUTE).started.values().sum::<u64>();
    run(&mut world, 29);
    let before = started(&world);
    run(&mut world, 12);
    let after = started(&world);
    assert!((80..90).contains(&(after - before)), "{before} {after}");
    run(&mut world, 120);
    assert!(started(&world) >= after + 80);
}

#[test]
fn writing_stops_when_nobody_answers() {
    let line = Conversations { outbound_per_day: 5_000.0, ..Conversations::default() };
    let line = Conversations { replies: 0.0, answered: 0.0, inbound_per_day: 0.0, ..line };
    let mut world = World::new(Setup { start_ms: START, ..decay::setup(vec![line]) });
    run(&mut world, 600);
    let talk = world.truth().talk(START, 0);
    let deepest = talk.unanswered_chats.keys().map(|(_, position)| position.as_str()).max();
    assert_eq!(deepest, Some("3"), "{:?}", talk.unanswered_chats);
}

#[test]
fn the_answer_key_of_one_conversation() {
    let mut world = World::new(Setup {
        start_ms: START,
        ..decay::setup(vec![Conversations {
            started_per_day: 0.0,
            outbound_per_day: 0.0,
            inbound_per_day: 0.0,
            answered: 0.0,
            replies: 0.0,
            responses: 0.0,
            ..Conversations::default()
        }])
    });
    let line = world.lines()[0].clone();
    let chat = world.add_chat();
    for (minute, inbound) in [(1, false), (2, false), (5, false), (6, true), (7, true), (8, false)] {
        world.step(START + minute * MINUTE);
        world.arrive(chat, START + minute * MINUTE, inbound);
    }
    settle(&mut world);
    let talk = world.truth().talk(START, MINUTE);
    let at = |position: &str| (line.clone(), position.to_owned());
    assert_eq!(talk.started, [(at("us"), 1)].into());
    assert_eq!(talk.answered, [(line.clone(), 1)].into());
    assert_eq!(talk.unanswered_messages, [(at("1"), 3), (at("2"), 1)].into());
    assert_eq!(talk.reply_delays, [(line.clone(), vec![60.0])].into());
    assert!(talk.unanswered_chats[&at("1")] >= 1);
    let by_message = world.truth().talk(START, 0).unanswered_messages;
    assert_eq!(by_message, [(at("1"), 2), (at("2"), 1), (at("3"), 1)].into());
    // A chat with an earlier message is not new.
    assert_eq!(world.truth().talk(START + MINUTE, MINUTE).started, [].into());
}
