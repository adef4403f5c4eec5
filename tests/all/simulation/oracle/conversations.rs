//! Conversations: what the order of the world's messages makes of them, label by label.
//!
//! From the collector it takes only which messages took their places in which commit; what follows from that is worked
//! out again from whole lists at the end of a life.

use std::collections::{BTreeMap, HashMap, HashSet};

use blooio_exporter::api::ChatId;
use blooio_exporter::domain::{
    Author, ChatKey, Conversation, Counter, Delta, Direction, HistogramKey, LineId, MessageId, Place,
    Position, Protocol, Reason, Status, View,
};
use blooio_exporter::simulator::Entry;

use super::{GRAIN, Held, Oracle};
use crate::simulation::case::Kind;
use crate::simulation::plug;

/// A message in its place.
#[derive(Clone, Copy, Debug)]
struct Said {
    at: i64,
    id: MessageId,
    line: LineId,
}

/// What the oracle knows of conversations.
#[derive(Default)]
pub(super) struct Talk {
    waiting: HashMap<MessageId, Place>,
    /// Where messages took their places in commits that reached no disk: their times may have changed before one did.
    placed_at: HashMap<MessageId, i64>,
    /// The messages of each chat in their places. A chat that is forgotten starts another list.
    said: BTreeMap<ChatKey, Vec<Vec<Said>>>,
    /// Counted, and never waiting.
    passed_over: Vec<MessageId>,
    /// Candidates that were dropped because the floor passed them.
    dropped: HashSet<MessageId>,
    lost: HashMap<MessageId, Place>,
    /// The numbers of the world's messages, as far as they were looked at.
    numbers: HashMap<MessageId, usize>,
    numbered: usize,
}

/// Upper bounds of the buckets of `blooio_reply_delay_seconds`, as docs/metrics.md names them.
const REPLY_BUCKETS: [f64; 7] = [60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 259_200.0];

/// Counts with their fewest and most.
#[derive(Default)]
struct Bounds(BTreeMap<Counter, (u64, u64)>);

impl Bounds {
    fn add(&mut self, counter: Counter, surely: bool) {
        let bounds = self.0.entry(counter).or_default();
        *bounds = (bounds.0 + u64::from(surely), bounds.1 + 1);
    }
}

fn position(streak: usize) -> Position {
    match streak {
        0 | 1 => Position::First,
        2 => Position::Second,
        3 => Position::Third,
        4 => Position::Fourth,
        _ => Position::Later,
    }
}

impl Oracle {
    /// Takes the part of a commit that is about conversations. `counted` are the messages that it counts.
    pub(super) fn talked(&mut self, delta: &Delta, counted: &[MessageId]) {
        let told: HashSet<MessageId> = delta.told.waiting.iter().map(|(id, _)| *id).collect();
        self.talk.passed_over.extend(counted.iter().filter(|id| !told.contains(id)));
        let mut placed: Vec<(ChatKey, Said)> = Vec::new();
        for (id, place) in &delta.told.waiting {
            let before = self.talk.waiting.remove(id);
            let Some(place) = place else {
                let known = self.messages.get(id).map_or(0, |held| held.last.sent_at);
                let sent_at = self.talk.placed_at.remove(id).unwrap_or(known);
                let line = self.messages.get(id).map_or(LineId::NONE, |held| held.last.line);
                let at = before.map_or(sent_at, |before| sent_at.max(before.sent_at));
                match before.map(|before| before.chat).or_else(|| self.placed_in(delta, *id, at)) {
                    Some(chat) => placed.push((chat, Said { at, id: *id, line })),
                    None => self.violated("I4", "a message took its place in no conversation".into()),
                }
                continue;
            };
            self.talk.waiting.insert(*id, *place);
        }
        placed.sort_by_key(|(chat, said)| (*chat, said.at, said.id));
        for (chat, said) in placed {
            let lists = self.talk.said.entry(chat).or_default();
            if lists.is_empty() {
                lists.push(Vec::new());
            }
            let list = lists.last_mut().unwrap();
            let before = list.last().copied();
            list.push(said);
            if before.is_some_and(|before| before.at > said.at) {
                self.violated("I4", format!("{said:?} took its place behind {before:?}"));
            }
        }
        self.forgot(delta);
    }

    /// Takes the same part of a commit that reached no disk: what it holds was decided nevertheless, and comes with the next one.
    pub(crate) fn not_committed(&mut self, delta: &Delta) {
        for (id, _) in delta.told.waiting.iter().filter(|(_, place)| place.is_none()) {
            let changed = delta.messages.iter().find(|(changed, _)| changed == id);
            let changed = changed.and_then(|(_, held)| held.map(|(tracked, _)| tracked.sent_at));
            let known = || self.messages.get(id).map(|held| held.last.sent_at);
            if let Some(at) = changed.or_else(known) {
                self.talk.placed_at.entry(*id).or_insert(at);
            }
        }
    }

    fn forgot(&mut self, delta: &Delta) {
        let floor = delta.progress.floor;
        for (chat, conversation) in &delta.told.conversations {
            let lists = self.talk.said.entry(*chat).or_default();
            let newest = lists.last().and_then(|list| list.last()).map_or(0, |said| said.at);
            match conversation {
                Some(conversation) if conversation.newest != newest => {
                    let what = format!("{conversation:?} and its newest message is of {newest}");
                    self.violated("I4", what);
                }
                Some(_) => {}
                None => {
                    lists.push(Vec::new());
                    if newest > floor {
                        self.violated("I6", format!("forgotten at {newest} with the floor at {floor}"));
                    }
                }
            }
        }
        for (id, place) in &delta.told.lost {
            match place {
                Some(place) => drop(self.talk.lost.insert(*id, *place)),
                None => {
                    if self.talk.lost.remove(id).is_none_or(|place| place.sent_at <= floor) {
                        self.talk.dropped.insert(*id);
                    }
                }
            }
        }
    }

    /// I12: what waits is there again after a restart.
    pub(super) fn talk_restored(&mut self, waiting: &[(MessageId, Option<Place>)]) {
        let restored: HashMap<MessageId, Place> =
            waiting.iter().filter_map(|(id, place)| Some((*id, (*place)?))).collect();
        self.talk.placed_at.clear();
        if restored != self.talk.waiting {
            self.violated("I12", "other messages wait for their places than before the restart".into());
        }
    }

    /// I4: every counter and histogram of conversations, and their gauge, at the end of a life.
    pub(super) fn check_talk(&mut self, entries: &[Entry], view: &View) {
        let mut bounds = Bounds::default();
        let mut delays: BTreeMap<HistogramKey, Vec<f64>> = BTreeMap::new();
        let mut unanswered: BTreeMap<(LineId, Position), u64> = BTreeMap::new();
        let merges = self.world.lock().unwrap().setup().upheavals.merges_per_hour > 0.0;
        let chats = if merges { HashMap::new() } else { self.chats_of(entries) };
        for (chat, lists) in &self.talk.said {
            for (n, list) in lists.iter().enumerate() {
                self.tell(list, &mut bounds, &mut delays);
                let Some(first) = list.first() else { continue };
                if n > 0 {
                    // All that was there before it was deleted: then it looks like a first contact.
                    if chats.get(chat).is_some_and(|messages| self.is_all_that_is_left(messages, first)) {
                        self.start(list, first, false, &mut bounds);
                    }
                    continue;
                }
                let (surely_new, surely_old) = chats
                    .get(chat)
                    .map_or((false, false), |messages| (self.is_new(messages, list), self.is_old(messages)));
                if !surely_old {
                    self.start(list, first, surely_new, &mut bounds);
                }
            }
            if let Some(last) = lists.last().and_then(|list| list.last())
                && last.id.direction() == Direction::Outbound
            {
                let list = lists.last().unwrap();
                let streak = self.turns(list, list.len() - 1);
                *unanswered.entry((last.line, position(streak))).or_default() += 1;
            }
        }
        self.check_waiting(&chats);
        if !merges {
            self.lose(entries, &mut bounds);
            self.check_passed_over(entries, &mut bounds);
        }
        self.compare_talk(&bounds, merges);
        self.compare_delays(&delays);
        let shown: BTreeMap<_, _> =
            view.snapshot.unanswered.iter().filter(|(_, n)| **n > 0).map(|(key, n)| (*key, *n)).collect();
        if shown != unanswered {
            self.violated("I4", format!("unanswered chats are {shown:?} and should be {unanswered:?}"));
        }
    }

    /// I7: no message waits for its place for ever.
    fn check_waiting(&mut self, chats: &HashMap<ChatKey, Vec<&Entry>>) {
        let options = &self.terms.options;
        let longest = (30 * options.lookback + 10 * options.interval).as_millis() as i64;
        let until = self.now() - longest;
        let waits = |place: &&Place| {
            let number =
                chats.get(&place.chat).and_then(|messages| messages.first()).map(|entry| entry.chat_number);
            place.sent_at < until && number.is_some_and(|number| !self.is_broken(number))
        };
        if let Some(place) = self.talk.waiting.values().find(waits).copied() {
            self.violated("I7", format!("waits for its place: {place:?}"));
        }
    }

    fn chat_of(&self, entry: &Entry) -> ChatKey {
        self.hasher.chat(&ChatId::parse(&entry.chat).unwrap())
    }

    /// Where a message was placed in the commit that counted it: in its chat, or where that was merged away meanwhile,
    /// in one whose newest message it is.
    fn placed_in(&mut self, delta: &Delta, id: MessageId, at: i64) -> Option<ChatKey> {
        let changed = &delta.told.conversations;
        let world = self.world.clone();
        let world = world.lock().unwrap();
        let truth = world.truth();
        for n in self.talk.numbered..truth.messages() {
            let inbound = truth.brief(n).is_some_and(|brief| brief.inbound);
            let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
            let id = plug::message_id(&self.hasher, direction, &truth.id(n));
            self.talk.numbers.entry(id).or_insert(n);
        }
        self.talk.numbered = truth.messages();
        let truth = self.talk.numbers.get(&id).and_then(|n| truth.entry(*n));
        let own = truth.map(|entry| self.chat_of(&entry));
        let is_own = |(chat, _): &&(ChatKey, _)| Some(*chat) == own;
        let newest = |c: &Option<Conversation>| c.is_some_and(|conversation| conversation.newest == at);
        let found = changed.iter().find(is_own);
        found.or_else(|| changed.iter().find(|(_, c)| newest(c))).map(|(chat, _)| *chat)
    }

    /// A message that came late by no more than the lookback has no place only where no list showed its chat before a
    /// later one had its place, and groups have no places at all.
    fn check_passed_over(&mut self, entries: &[Entry], bounds: &mut Bounds) {
        let passed_over: HashSet<MessageId> = self.talk.passed_over.iter().copied().collect();
        for entry in entries.iter().filter(|entry| !entry.chat.starts_with("grp_")) {
            let id = self.id_of(entry);
            if !passed_over.contains(&id) {
                continue;
            }
            bounds.add(Counter::UnplacedMessages, true);
            let sent_at = self.messages.get(&id).map_or(entry.time_sent_ms, |held| held.counted_sent_at);
            let lateness = entry.visible_from_ms - sent_at;
            let tells = matches!(self.terms.kind, Kind::Calm | Kind::Broken);
            // What was there before the first start is the first read's, which begins with history.
            let tells = tells && entry.visible_from_ms > self.progress.baseline;
            if tells && self.had_to_be_shown(entries, entry, sent_at) {
                self.violated("I9", format!("no place, late by {lateness} ms: {entry:?}"));
            }
        }
    }

    /// Whether a list had to show the chat of a message between its appearance and the moment in which the place of a
    /// message that was sent later is taken. Lists are read down to what happened two intervals before the list before
    /// them. Below that a message is found with a later one of its chat, or by the full listing.
    fn had_to_be_shown(&self, entries: &[Entry], late: &Entry, sent_at: i64) -> bool {
        let options = &self.terms.options;
        let [interval, lookback] = [options.interval, options.lookback].map(|time| time.as_millis() as i64);
        let (depth, lag) = (2 * interval, self.terms.api_lag + GRAIN);
        let lateness = late.visible_from_ms - sent_at + lag;
        let in_time = late.visible_from_ms..sent_at + lookback - interval - lag;
        let shows = |entry: &Entry| {
            entry.id != late.id
                && entry.chat == late.chat
                && in_time.contains(&entry.visible_from_ms)
                && entry.visible_from_ms - entry.time_sent_ms + lag < depth
                && entry.deleted_at_ms.is_none()
                && !entry.unusable
        };
        lateness < depth.min(lookback) || lateness < lookback && entries.iter().any(shows)
    }

    fn id_of(&self, entry: &Entry) -> MessageId {
        let inbound = entry.direction == "inbound";
        let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
        plug::message_id(&self.hasher, direction, &entry.id)
    }

    fn chats_of<'e>(&self, entries: &'e [Entry]) -> HashMap<ChatKey, Vec<&'e Entry>> {
        let mut chats: HashMap<ChatKey, Vec<&Entry>> = HashMap::new();
        for entry in entries {
            chats.entry(self.chat_of(entry)).or_default().push(entry);
        }
        chats
    }

    /// Whether everything that came before the message was deleted when its chat was judged.
    fn is_all_that_is_left(&self, messages: &[&Entry], first: &Said) -> bool {
        let judged = first.at + 2 * self.terms.options.lookback.as_millis() as i64;
        let mut before = messages.iter().filter(|entry| entry.visible_from_ms < first.at);
        before.all(|entry| entry.deleted_at_ms.is_some_and(|at| at < judged))
    }

    /// Whether the world has nothing in the chat but what took its place, in a life in which that can be told.
    fn is_new(&self, messages: &[&Entry], list: &[Said]) -> bool {
        let said: HashSet<MessageId> = list.iter().map(|said| said.id).collect();
        messages.iter().all(|entry| said.contains(&self.id_of(entry)))
            && match self.terms.kind {
                Kind::Calm => true,
                // Few messages, so that the chat comes to rest, and no process that had to start again meanwhile.
                Kind::Stormy | Kind::Broken | Kind::Large => {
                    let options = &self.terms.options;
                    let rest = (10 * options.interval + options.lookback).as_millis() as i64;
                    let began = messages.iter().map(|entry| entry.visible_from_ms).min().unwrap_or(0);
                    let ended = messages.iter().map(|entry| entry.visible_from_ms).max().unwrap_or(0);
                    let undisturbed =
                        !self.starts.iter().any(|start| (began - rest..ended + rest).contains(start));
                    let knobs = self.world.lock().unwrap().setup().knobs.clone();
                    let number = messages.first().map_or(0, |entry| entry.chat_number);
                    undisturbed
                        && ended - began < rest
                        && self.clear_since != i64::MAX
                        && ended + rest < self.now()
                        && messages.iter().all(|entry| entry.deleted_at_ms.is_none())
                        && knobs.dropped_keys == 0.0
                        && !self.is_broken(number)
                }
                _ => false,
            }
    }

    /// Whether the chat holds a message from before the first start, and always did. Where one was deleted after it was
    /// counted, or the list lags, its count may say otherwise.
    fn is_old(&self, messages: &[&Entry]) -> bool {
        let baseline = self.progress.baseline;
        let lags = self.world.lock().unwrap().setup().knobs.list_lag_ms > 0;
        let is_exact = !lags && !matches!(self.terms.kind, Kind::Clocks | Kind::Misled | Kind::Odd);
        is_exact
            && messages.iter().all(|entry| entry.deleted_at_ms.is_none())
            && messages.iter().any(|entry| {
                entry.time_sent_ms <= baseline
                    && entry.visible_from_ms <= baseline
                    && entry.deleted_at_ms.is_none()
                    && entry.visible
            })
    }

    /// How many of our turns in a row end with this message.
    fn turns(&self, list: &[Said], at: usize) -> usize {
        let turn = self.terms.options.conversation_turn.as_millis() as i64;
        let since = list[..at].iter().rposition(|said| said.id.direction() == Direction::Inbound);
        let ours = &list[since.map_or(0, |since| since + 1)..=at];
        1 + ours.windows(2).filter(|pair| turn == 0 || pair[1].at - pair[0].at > turn).count()
    }

    fn tell(&self, list: &[Said], bounds: &mut Bounds, delays: &mut BTreeMap<HistogramKey, Vec<f64>>) {
        for (at, said) in list.iter().enumerate() {
            if said.id.direction() == Direction::Outbound {
                let position = position(self.turns(list, at));
                bounds.add(Counter::UnansweredMessages { line: said.line, position }, true);
            } else if let Some(before) = at.checked_sub(1).map(|before| list[before])
                && before.id.direction() == Direction::Outbound
            {
                let key = HistogramKey::ReplyDelay { line: before.line };
                delays.entry(key).or_default().push((said.at - before.at) as f64 / 1000.0);
            }
        }
    }

    fn start(&self, list: &[Said], first: &Said, surely: bool, bounds: &mut Bounds) {
        let line = first.line;
        if first.id.direction() == Direction::Inbound {
            return bounds.add(Counter::ConversationsStarted { line, by: Author::Them }, surely);
        }
        bounds.add(Counter::ConversationsStarted { line, by: Author::Us }, surely);
        if list.iter().any(|said| said.id.direction() == Direction::Inbound) {
            bounds.add(Counter::ConversationsAnswered { line }, surely);
        }
    }

    /// Messages that left iMessage in a chat in which an earlier one was delivered by it.
    fn lose(&self, entries: &[Entry], bounds: &mut Bounds) {
        for (chat, messages) in self.chats_of(entries) {
            let counted: Vec<(&Entry, Held)> = messages
                .into_iter()
                .filter(|entry| entry.direction == "outbound" && !entry.chat.starts_with("grp_"))
                .filter_map(|entry| Some((entry, *self.messages.get(&self.id_of(entry))?)))
                .filter(|(_, held)| held.counted > 0)
                .collect();
            let delivered = |held: &&Held| {
                let last = held.last;
                last.status == Status::Delivered && last.protocol == Protocol::Imessage && !last.is_given_up()
            };
            let first =
                counted.iter().map(|(_, held)| held).filter(delivered).map(|held| held.last.sent_at).min();
            let Some(first) = first else { continue };
            let was_forgotten = self.talk.said.get(&chat).is_some_and(|lists| lists.len() > 1);
            for (entry, held) in counted.iter().filter(|(_, held)| held.last.sent_at > first) {
                let last = held.last;
                let unknown = Reason::NotOnImessage.as_str();
                let failed = last.status == Status::Failed
                    && entry.terminal.as_ref().is_some_and(|end| end.reason == unknown);
                let surely = !was_forgotten
                    && !self.talk.dropped.contains(&self.id_of(entry))
                    && (failed || last.is_ended() && last.protocol.is_fallback());
                if failed || entry.fell_back.is_some() || last.protocol.is_fallback() {
                    bounds.add(Counter::LostImessage { line: last.line }, surely);
                }
            }
        }
    }

    fn compare_talk(&mut self, bounds: &Bounds, merges: bool) {
        let is_told = |counter: &Counter| match counter {
            Counter::ConversationsStarted { .. }
            | Counter::ConversationsAnswered { .. }
            | Counter::UnansweredMessages { .. } => true,
            Counter::LostImessage { .. } | Counter::UnplacedMessages => !merges,
            _ => false,
        };
        let shown: BTreeMap<Counter, u64> =
            self.counters.iter().filter(|(c, _)| is_told(c)).map(|(c, n)| (*c, *n)).collect();
        let keys: Vec<Counter> = shown.keys().chain(bounds.0.keys()).copied().collect();
        for counter in keys {
            let is = shown.get(&counter).copied().unwrap_or(0);
            let (least, most) = bounds.0.get(&counter).copied().unwrap_or((0, 0));
            // What came and went between two commits cannot be seen from here.
            let unseen = self.unseen_in_all;
            if is + unseen < least || is > most + unseen {
                self.violated("I4", format!("{counter:?} is {is} and should be {least} to {most}"));
            }
        }
    }

    fn compare_delays(&mut self, delays: &BTreeMap<HistogramKey, Vec<f64>>) {
        for (key, histogram) in self.histograms.clone() {
            let HistogramKey::ReplyDelay { .. } = key else { continue };
            let values = delays.get(&key).map_or(&[][..], Vec::as_slice);
            let mut buckets = vec![0; histogram.counts.len()];
            for value in values {
                buckets[REPLY_BUCKETS.partition_point(|bound| bound < value)] += 1;
            }
            let off = (histogram.sum - values.iter().sum::<f64>()).abs() > 0.001 * (values.len() + 1) as f64;
            if histogram.counts[..] != buckets[..] || off {
                self.violated("I4", format!("{key:?} is {histogram:?} and should be {buckets:?}"));
            }
        }
    }
}
