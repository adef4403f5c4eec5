//! Conversations: contacts write because they were written to, and the organisation answers.

use super::chat::{Chat, Kind, Standing};
use super::fault::FaultKind;
use super::message::{Fate, Message, extra};
use super::setup::{Conversations, Setup};
use super::source::{Act, Source, chance};
use super::world::{Event, World};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Median time after which the organisation answers, in milliseconds.
const RESPONSE_MS: f64 = 60_000.0;
/// Contacts of a line that are still written to: the newest ones.
const CONTACTS: usize = 1_000;

const ACTS: [Act; 3] = [Act::Start, Act::Write, Act::Hear];

impl Act {
    /// How often it happens within the hours of a line, per millisecond.
    pub(super) fn rate(self, setup: &Setup, line: u16) -> f64 {
        let Some(habits) = of(setup, line) else { return 0.0 };
        let per_day = match self {
            Act::Start => habits.started_per_day,
            Act::Write => habits.outbound_per_day,
            Act::Hear => habits.inbound_per_day,
            Act::Campaign => 0.0,
        };
        per_day / ((habits.hours.1 - habits.hours.0).clamp(1, 24) * HOUR) as f64
    }
}

fn of(setup: &Setup, line: u16) -> Option<&Conversations> {
    let all = &setup.conversations;
    all.get(usize::from(line) % all.len().max(1))
}

impl Conversations {
    /// Whether the contact of this chat cannot be reached by iMessage.
    pub(super) fn is_android(&self, chat: u32) -> bool {
        f64::from(chat.wrapping_add(1).wrapping_mul(2_654_435_761)) / 4_294_967_296.0 < self.android
    }

    /// The same with so many times the messages and replies so many times faster. The conversations that the
    /// organisation starts stay as many: their limits are per day.
    #[must_use]
    pub fn faster(&self, factor: f64) -> Conversations {
        Conversations {
            outbound_per_day: self.outbound_per_day * factor,
            inbound_per_day: self.inbound_per_day * factor,
            inbound_new: self.inbound_new / factor,
            reply_ms: (self.reply_ms as f64 / factor) as i64,
            hours: (0, 24),
            ..self.clone()
        }
    }
}

impl World {
    /// What the line sends, in a world with conversations.
    pub(super) fn conversations_of(&self, line: u16) -> Option<&Conversations> {
        of(&self.setup, line)
    }

    pub(super) fn start_conversations(&mut self) {
        for line in 0..self.lines.len() as u16 {
            let Some(habits) = self.conversations_of(line) else { return };
            if let Some(campaign) = habits.campaign {
                let first = self.setup.start_ms + campaign.first_ms;
                self.push(first, Event::Source(Source::Line(line, Act::Campaign)));
            }
            for act in ACTS {
                self.arm(Source::Line(line, act), self.setup.start_ms);
            }
        }
    }

    /// One occurrence of an act on this line.
    pub(super) fn act(&mut self, line: u16, act: Act, at: i64) {
        let Some(habits) = self.conversations_of(line) else { return };
        let (hour, hours, inbound_new) = (at.rem_euclid(DAY) / HOUR, habits.hours, habits.inbound_new);
        if act == Act::Campaign {
            return self.campaign(line, at);
        }
        if hour < hours.0 || hour >= hours.1 {
            return;
        }
        match act {
            Act::Start => self.start_conversation(line, at),
            Act::Write => self.write_to_contact(line, at),
            Act::Hear | Act::Campaign => {
                // Who never wrote does so only as an answer.
                let wrote = |chat: &Chat| chat.inbound > 0;
                let is_new = chance(&mut self.life, inbound_new);
                let known = if is_new { None } else { self.contact_of(line, wrote) };
                let chat = known.unwrap_or_else(|| self.add_contact(line));
                self.hear(chat, at);
            }
        }
    }

    fn campaign(&mut self, line: u16, at: i64) {
        let Some(campaign) = self.conversations_of(line).and_then(|habits| habits.campaign) else { return };
        for message in 0..campaign.messages {
            let due = at + campaign.over_ms * message / campaign.messages;
            self.push(due, Event::Campaign(line));
        }
        self.push(at + campaign.every_ms.max(1), Event::Source(Source::Line(line, Act::Campaign)));
    }

    /// One message of a campaign.
    pub(super) fn campaign_message(&mut self, line: u16, at: i64) {
        let campaign = self.conversations_of(line).and_then(|habits| habits.campaign);
        if self.quiet || self.faults.is_everywhere(FaultKind::Silent) {
            return;
        }
        if campaign.is_some_and(|campaign| chance(&mut self.life, campaign.new)) {
            self.start_conversation(line, at);
        } else {
            self.write_to_contact(line, at);
        }
    }

    fn start_conversation(&mut self, line: u16, at: i64) {
        let chat = self.add_contact(line);
        self.arrive(chat, at, false);
    }

    /// Writes to a contact whose silence is not yet too long; to nobody where none is found.
    fn write_to_contact(&mut self, line: u16, at: i64) {
        let patience = self.conversations_of(line).map_or(0, |habits| habits.patience);
        for _ in 0..8 {
            let Some(chat) = self.contact_of(line, |_| true) else { return };
            let ours = self.chats[chat as usize].visible.iter().rev();
            let unanswered = ours.take(patience).take_while(|n| !self.messages[**n as usize].inbound).count();
            if unanswered < patience {
                return self.arrive(chat, at, false);
            }
        }
    }

    /// A conversation with a new contact on this line.
    fn add_contact(&mut self, line: u16) -> u32 {
        let n = self.chats.len() as u32;
        let chat = Chat::new(self.tag, n, Kind::Phone, line);
        self.chat_by_id.insert(chat.id.clone(), n);
        self.chats.push(chat);
        self.lines[usize::from(line)].chats.push(n);
        n
    }

    /// A contact of the line, of those that are wanted.
    fn contact_of(&mut self, line: u16, is_wanted: impl Fn(&Chat) -> bool) -> Option<u32> {
        let all = self.lines[usize::from(line)].chats.len();
        for _ in 0..8 {
            let newest = all.min(CONTACTS);
            let pick = self.life.usize(0..newest.max(1));
            let chat = *self.lines[usize::from(line)].chats.get(all - newest + pick)?;
            let found = &self.chats[chat as usize];
            if found.standing == Standing::Alive && found.kind != Kind::Group && is_wanted(found) {
                return Some(chat);
            }
        }
        None
    }

    /// The contact of a chat writes; the organisation may answer.
    fn hear(&mut self, chat: u32, at: i64) {
        let before = self.messages.len();
        self.arrive(chat, at, true);
        let line = self.chats[chat as usize].line;
        let responses = self.conversations_of(line).map_or(0.0, |habits| habits.responses);
        if self.messages.len() > before && chance(&mut self.life, responses) {
            let wait = self.log_normal(RESPONSE_MS, 0.8);
            self.push(at + wait, Event::Respond(chat));
        }
    }

    /// A message is handed over: decides whether and when its contact replies.
    pub(super) fn expect_reply(&mut self, n: u32, at: i64) {
        let message = &self.messages[n as usize];
        let Some(habits) = self.conversations_of(message.line) else { return };
        let number = &self.lines[usize::from(message.line)].number;
        let is_limited = self.faults.of_line(FaultKind::ShadowLimited, number).is_some();
        if is_limited || message.fate == Fate::FailsAfterSending {
            return;
        }
        let factor = self.faults.of_line(FaultKind::Replies, number).map_or(1.0, |t| t.value.unwrap_or(0.1));
        let is_first = self.chats[message.chat as usize].visible.len() <= 1;
        let share = if is_first { habits.answered } else { habits.replies };
        let (median, spread) = (habits.reply_ms as f64, habits.reply_spread);
        if chance(&mut self.life, (share * factor).min(1.0)) {
            let wait = self.log_normal(median, spread);
            self.push(at + wait, Event::Reply(n));
        }
    }

    /// The contact replies to a message, unless it wrote since.
    pub(super) fn reply(&mut self, n: u32, at: i64) {
        let message = &self.messages[n as usize];
        let Some(chat) = self.follow(message.chat) else { return };
        let wrote_since = self.chats[chat as usize].last_inbound.is_some_and(|last| last > message.time_sent);
        if !self.quiet && !wrote_since {
            self.hear(chat, at);
        }
    }

    /// The organisation answers in a chat.
    pub(super) fn respond_in(&mut self, chat: u32, at: i64) {
        if let Some(chat) = self.follow(chat).filter(|_| !self.quiet) {
            self.arrive(chat, at, false);
        }
    }

    /// A time with this median and this standard deviation of its logarithm, at most a week.
    fn log_normal(&mut self, median: f64, spread: f64) -> i64 {
        // Box and Muller: two uniform numbers make one that is normally distributed.
        let (u, v) = (1.0 - self.life.f64(), self.life.f64());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        ((median * (spread * normal).exp()).min((7 * DAY) as f64) as i64).max(1)
    }

    /// Moves a new message behind the newest of its chat where their order could not be told otherwise.
    pub(super) fn set_apart(&self, message: &mut Message) {
        let Some(before) = self.chats[message.chat as usize].newest.filter(|_| self.setup.knobs.ordered)
        else {
            return;
        };
        let before = &self.messages[before as usize];
        let differs =
            before.inbound != message.inbound || before.has(extra::NO_LINE) != message.has(extra::NO_LINE);
        let earliest = before.time_sent + i64::from(differs);
        message.visible_from += (earliest - message.time_sent).max(0);
        message.time_sent = message.time_sent.max(earliest);
    }
}
