//! Messages that were read because of a webhook event, before a list showed them: their chat is not read again for a row that
//! says no more, and is read for each row that may say more.

use super::*;

/// An account that follows a feed. All its chats were read, and the list was asked for a moment ago: what is announced now is
/// read before the next list.
fn following() -> Stage {
    let mut stage = settled(3);
    let now = stage.moment();
    stage.engine.follow(minutes(5), now);
    stage.swept();
    stage
}

impl Stage {
    /// Runs until the list of chats was asked for once more.
    fn swept(&mut self) {
        let since = self.now;
        while self.asked_since(since).all(|asked| asked.work != Work::Sweep) {
            self.run(s(1));
        }
    }

    /// A message comes to the chat, is announced, and is read because of that.
    fn announced(&mut self, chat: &str) -> String {
        self.run(Duration::from_millis(10));
        let id = self.receive(chat);
        self.announce(EventKind::MessageReceived, chat, &id);
        let since = self.now;
        self.run(s(5));
        assert_eq!(self.reads(chat, since), 1, "because of the event");
        id
    }

    /// How often messages of the chat were asked for.
    fn reads(&self, chat: &str, since: Duration) -> usize {
        self.asked_since(since).filter_map(Asked::messages).filter(|(read, _)| *read == chat).count()
    }

    /// How many messages are held that are newer than the row of their chat.
    fn ahead(&self) -> usize {
        self.engine.feed.iter().flat_map(|feed| feed.ahead.values()).map(Vec::len).sum()
    }
}

#[test]
fn a_chat_is_not_read_again_when_the_list_shows_what_an_event_brought() {
    let mut stage = following();
    for counted in 1..4 {
        stage.announced("+10");
        assert_eq!((stage.inbound(), stage.ahead()), (counted, 1));
        let since = stage.now;
        stage.swept();
        stage.run(s(5));
        assert_eq!((stage.reads("+10", since), stage.inbound()), (0, counted));
        assert_eq!(stage.ahead(), 0, "the row is as new as what was read");
    }
    assert!(stage.health().up);
}

#[test]
fn a_list_that_lags_behind_what_events_brought_causes_no_read() {
    let mut stage = following();
    for _ in 0..3 {
        stage.announced("+10");
    }
    let since = stage.now;
    // The list shows the first of them, and later all.
    let newer = stage.chats.get_mut("+10").unwrap().split_off(2);
    stage.swept();
    stage.run(s(5));
    assert_eq!((stage.reads("+10", since), stage.ahead()), (0, 2));
    stage.chats.get_mut("+10").unwrap().extend(newer);
    stage.swept();
    stage.run(s(5));
    assert_eq!((stage.reads("+10", since), stage.ahead(), stage.inbound()), (0, 0, 3));
}

#[test]
fn a_row_that_counts_more_than_events_brought_is_read() {
    let mut stage = following();
    stage.announced("+10");
    // One that was sent earlier and comes late. No event says so, and the newest message of the row is known.
    stage.send_at("+10", Direction::Inbound, Status::Delivered, stage.time() - 10_000);
    stage.swept();
    stage.run(s(5));
    assert_eq!(stage.inbound(), 2);
}

#[test]
fn a_row_that_names_another_message_of_the_same_millisecond_is_read_although_its_count_tallies() {
    let mut stage = following();
    stage.announced("+10");
    let sent_at = newest(&stage.chats["+10"]).sent_at;
    stage.receive("+10");
    let messages = stage.chats.get_mut("+10").unwrap();
    messages.last_mut().unwrap().sent_at = sent_at;
    // One was deleted: the list counts as many as were found.
    messages.remove(0);
    stage.swept();
    stage.run(s(5));
    assert_eq!(stage.inbound(), 2);
}

#[test]
fn what_changes_below_a_message_that_the_list_has_shown_is_read() {
    let mut stage = following();
    stage.send("+10", Direction::Outbound, Status::Delivered);
    stage.swept();
    stage.run(s(5));
    stage.announced("+10");
    stage.swept();
    stage.run(s(5));
    assert_eq!(stage.inbound(), 1);
    // One is deleted and another one comes late: the newest message and the count stay.
    let late = newest(&stage.chats["+10"]).sent_at - 1_000;
    stage.send_at("+10", Direction::Inbound, Status::Delivered, late);
    stage.chats.get_mut("+10").unwrap().retain(|message| message.direction == Direction::Inbound);
    stage.swept();
    stage.run(s(5));
    assert_eq!(stage.inbound(), 2);
}

#[test]
fn only_what_is_newer_than_the_row_of_its_chat_is_ahead_of_it() {
    let mut stage = following();
    stage.announced("+10");
    stage.swept();
    stage.run(s(5));
    let row = newest(&stage.chats["+10"]).sent_at;
    for sent_at in [row - 1, row, row + 1] {
        stage.send_at("+10", Direction::Inbound, Status::Delivered, sent_at);
    }
    stage.announce(EventKind::MessageReceived, "+10", "+10-4");
    stage.run(s(5));
    assert_eq!((stage.inbound(), stage.ahead()), (4, 1));
}

#[test]
fn of_a_chat_256_messages_are_held_and_one_that_got_more_is_read_again() {
    for (messages, again) in [(256, false), (257, true)] {
        let mut stage = following();
        stage.run(s(1));
        for n in 1..=messages {
            stage.send_at("+10", Direction::Inbound, Status::Delivered, stage.time() - messages + n);
        }
        stage.announce(EventKind::MessageReceived, "+10", &format!("+10-{messages}"));
        stage.run(s(5));
        assert_eq!((stage.inbound(), stage.ahead()), (messages as u64, 256));
        let since = stage.now;
        stage.swept();
        stage.run(s(5));
        assert_eq!((stage.reads("+10", since) > 0, stage.ahead()), (again, 0), "{messages}");
        assert_eq!(stage.inbound(), messages as u64, "each once");
    }
}
