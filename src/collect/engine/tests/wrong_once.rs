//! Answers that are wrong once, or for a while: what follows from them ends soon after they do.

use super::*;

/// A healthy account with some chats, all of which were listed.
fn account() -> Stage {
    let mut stage = Stage::new(options());
    for chat in ["+1", "+2", "+3"] {
        stage.receive(chat);
    }
    stage.run(minutes(12));
    assert!(stage.health().up);
    stage
}

#[test]
fn a_row_that_named_no_chat_ends_with_the_lists_that_lack_it() {
    for status in [Some(400), Some(404), Some(410), Some(422), None] {
        let mut stage = account();
        stage.receive("undefined");
        stage.run_with(minutes(4), |stage, asked| {
            let (chat, _) = asked.messages()?;
            if chat != "undefined" {
                return None;
            }
            // One list named it. Its own path says that there is no such chat, or shows no message.
            stage.unlisted.insert(chat.into());
            stage.chats.get_mut(chat).unwrap().clear();
            status.map(|status| (Fault::Status(status), None))
        });
        let health = stage.health();
        assert!(health.up && health.deferred == 0, "{status:?} {:?}", health.problem);
    }
}

#[test]
fn a_new_chat_is_read_once_whatever_the_time_of_its_row_says() {
    let bends: [fn(&mut ChatRow); 3] = [
        |row| row.last_at = 1_577_836_800_000,
        |row| (row.last_at, row.messages, row.inbound) = (0, 0, 0),
        |row| row.last_at = 1,
    ];
    for bend in bends {
        let mut stage = account();
        stage.bend = bend;
        stage.receive("+9");
        stage.run(minutes(1));
        assert_eq!(stage.inbound(), 1);
    }
}

#[test]
fn a_list_that_lacks_one_active_chat_is_not_believed_until_two_more_do() {
    let mut stage = account();
    stage.receive("+2");
    stage.receive("+3");
    for n in 0..40 {
        stage.receive(&format!("+4{n}"));
    }
    stage.run(minutes(1));
    let (before, sent_at) = (stage.inbound(), stage.time());
    stage.receive("+2");
    stage.unlisted.insert("+2".into());
    stage.run(s(45));
    let watermark = stage.engine.ledger().progress().watermark;
    assert!(!stage.health().up && watermark < sent_at, "{} ms", watermark - sent_at);
    stage.unlisted.clear();
    stage.run(minutes(1));
    assert!(stage.health().up);
    assert_eq!((stage.inbound(), stage.count(|_| Counter::Late)), (before + 1, 0));
    // Several in a row may be right.
    stage.unlisted.insert("+3".into());
    stage.run(minutes(3));
    assert!(stage.health().up);
}

#[test]
fn lines_are_gone_when_three_answers_say_so_and_come_back_soon() {
    let denials = |times: usize| {
        let mut stage = account();
        let mut asked_for = 0;
        stage.run_with(minutes(40), |_, asked| {
            let is_lines = asked.work == Work::Lines;
            asked_for += usize::from(is_lines);
            (is_lines && asked_for <= times).then_some((Fault::Status(404), None))
        });
        let gone = stage.notes.iter().filter(|note| matches!(note, Note::NoNumbers)).count();
        (gone, asked_for > times)
    };
    assert_eq!([denials(2), denials(3)], [(0, true), (1, true)]);
}

#[test]
fn a_line_whose_chats_could_not_be_probed_is_probed_again() {
    let mut stage = Stage::new(Options { probe_interval: minutes(1), ..options() });
    stage.receive("+1");
    stage.run(minutes(2));
    let is_probe =
        |asked: &Asked| asked.request == Request::GetBackground { chat: ChatId::parse("+1").unwrap() };
    stage.run_with(minutes(3), |_, asked| is_probe(asked).then_some((Fault::Status(404), None)));
    let since = stage.now;
    stage.run(minutes(5));
    assert!(stage.asked_since(since).filter(|asked| is_probe(asked)).count() >= 4);
}

#[test]
fn a_chat_that_is_limited_for_ever_pauses_the_others_once() {
    let mut stage = account();
    let from = stage.now;
    let limited = (Fault::RateLimited { coded: false }, Some(minutes(2)));
    for n in 0..40 {
        stage.receive("+1");
        stage.receive("+2");
        stage.run_with(s(30), |_, asked| {
            asked.messages().is_some_and(|(chat, _)| chat == "+1").then_some(limited)
        });
        let sent = if n < 10 { 0 } else { n };
        assert!(stage.inbound() >= sent, "{n}: {}", stage.inbound());
    }
    let asked: Vec<Duration> = stage.asked_since(from).map(|asked| asked.at).collect();
    let pauses = asked.windows(2).filter(|pair| pair[1] - pair[0] >= s(100)).count();
    assert_eq!(pauses, 1);
    // It is asked again within a minute or so, and that it cannot be read is on the page.
    let health = stage.health();
    assert!(!health.up && health.deferred == 1);
    stage.run(minutes(2));
    assert!(stage.health().up && stage.inbound() == 80);
}

#[test]
fn single_messages_that_are_limited_for_ever_pause_the_others_once() {
    let mut stage = account();
    stage.send("+1", Direction::Outbound, Status::Queued);
    stage.run(s(31));
    let from = stage.now;
    let limited = (Fault::RateLimited { coded: false }, Some(minutes(2)));
    for _ in 0..40 {
        stage.receive("+1");
        stage.receive("+2");
        stage.run_with(s(30), |_, asked| {
            matches!(asked.request, Request::GetMessage { .. }).then_some(limited)
        });
    }
    let asked: Vec<Duration> = stage.asked_since(from).map(|asked| asked.at).collect();
    let pauses = asked.windows(2).filter(|pair| pair[1] - pair[0] >= s(100)).count();
    assert_eq!(pauses, 1);
    stage.run(minutes(1));
    assert_eq!(stage.inbound(), 80);
}

#[test]
fn however_many_chats_fail_the_others_are_read_with_the_next_list() {
    let mut stage = account();
    let chats: Vec<String> = (10..50).map(|n| format!("+{n}")).collect();
    for round in 1..4 {
        chats.iter().for_each(|chat| drop(stage.receive(chat)));
        stage.run_with(s(35), |_, asked| {
            asked.messages().is_some_and(|(chat, _)| chat < "+40").then_some(BROKEN)
        });
        assert_eq!(stage.inbound(), round * 10);
    }
    let health = stage.health();
    assert!(!health.up && health.deferred == 30);
}

#[test]
fn a_chat_that_could_not_be_read_waits_again_behind_those_that_may_answer() {
    let mut stage = account();
    (10..50).for_each(|n| drop(stage.receive(&format!("+{n}"))));
    let (mut failed, mut most) = (0, 0);
    for round in 0..12 {
        stage.receive("+99");
        stage.run_with(s(30), |_, asked| {
            if asked.chats().is_some() {
                failed = 0;
            }
            let (chat, _) = asked.messages()?;
            if chat < "+50" {
                failed += 1;
                return Some(BROKEN);
            }
            // By then the broken ones have been waiting for longer than any other would have to.
            most = if round > 4 { most.max(failed) } else { 0 };
            None
        });
    }
    assert_eq!(stage.inbound(), 12);
    assert!(most <= 2, "a list, and then {most} chats that are broken, before one that was not tried yet");
}

#[test]
fn an_empty_list_is_no_account_without_chats_when_its_total_says_otherwise() {
    for (total, is_up) in [(0, true), (2, true), (3, false), (50, false)] {
        let mut stage = Stage::new(options());
        stage.excess = total;
        stage.run(minutes(12));
        assert_eq!(stage.health().up, is_up, "{total}");
        stage.excess = 0;
        stage.receive("+1");
        stage.run(minutes(1));
        assert!(stage.health().up);
    }
}

#[test]
fn a_row_that_named_no_chat_before_a_restart_ends_with_the_lists_that_lack_it() {
    let mut stage = account();
    stage.receive("undefined");
    stage.run_with(s(40), |_, asked| {
        asked.messages().filter(|(chat, _)| *chat == "undefined").map(|_| (Fault::Status(404), None))
    });
    assert!(!stage.health().up);
    stage.unlisted.insert("undefined".into());
    // As after a restart, the chat cannot be asked itself.
    stage.engine.ids = IdMap::default();
    stage.run(minutes(4));
    let health = stage.health();
    assert!(health.up && health.deferred == 0, "{:?}", health.problem);
}

/// The size of the page that was asked for.
fn limit(asked: &Asked) -> Option<u32> {
    match asked.request {
        Request::ListChats { limit, .. } | Request::ListMessages { limit, .. } => Some(limit),
        _ => None,
    }
}

#[test]
fn a_chat_that_rejects_every_size_of_page_makes_none_smaller_elsewhere() {
    let mut stage = account();
    stage.receive("+2");
    stage.run_with(minutes(2), |_, asked| {
        asked.messages().is_some_and(|(chat, _)| chat == "+2").then_some((Fault::Status(400), None))
    });
    let since = stage.now;
    stage.run(minutes(5));
    assert!(stage.asked_since(since).filter_map(limit).all(|limit| limit == 200));
}

#[test]
fn pages_of_the_full_size_are_asked_for_again() {
    let mut stage = account();
    stage.run_with(minutes(5), |_, asked| {
        limit(asked).is_some_and(|limit| limit > 50).then_some((Fault::Status(400), None))
    });
    assert_eq!(stage.asked.iter().filter_map(limit).next_back(), Some(50));
    stage.run(minutes(30));
    assert_eq!(stage.asked.iter().filter_map(limit).next_back(), Some(200));
}

#[test]
fn a_row_that_a_full_listing_could_not_use_is_looked_for_again_soon() {
    let mut stage = account();
    let from = stage.now;
    stage.run_with(minutes(20), |stage, asked| {
        let listings = stage.asked_since(from).filter(|asked| asked.work == Work::Listing).count();
        stage.unusable = usize::from(asked.work == Work::Listing && listings == 1);
        None
    });
    let listings: Vec<Duration> =
        stage.asked_since(from).filter(|asked| asked.work == Work::Listing).map(|asked| asked.at).collect();
    assert!(listings[1] - listings[0] <= minutes(2), "{listings:?}");
    // Rows that stay as they are cost no more than the usual ones in the end.
    let from = stage.now;
    stage.unusable = 1;
    stage.run(minutes(120));
    let listings = stage.asked_since(from).filter(|asked| asked.work == Work::Listing).count();
    assert!((12..=16).contains(&listings), "{listings}");
}

#[test]
fn the_row_of_another_chat_says_nothing_of_a_chat_that_the_list_lacks() {
    let mut stage = account();
    stage.unlisted.insert("+2".into());
    stage.run(minutes(31));
    assert!(stage.asked.iter().any(|asked| matches!(asked.request, Request::GetChat { .. })));
    let mut stage = account();
    stage.unlisted.insert("+2".into());
    stage.run_with(minutes(40), |stage, asked| {
        let is_own = matches!(asked.request, Request::GetChat { .. });
        stage.bend = if is_own { |row| row.id = ChatId::parse("+1").unwrap() } else { |_| {} };
        if is_own {
            stage.receive("+2");
        }
        None
    });
    let health = stage.health();
    assert!(health.up && stage.inbound() == 0, "{:?}", health.problem);
}
