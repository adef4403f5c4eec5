//! What happens to the world as a whole: chats merge and vanish, messages are deleted, copies arrive elsewhere.

use super::chat::{Chat, Standing};
use super::message::extra;
use super::world::World;

/// Messages that may come between pages at once, and the time after which another one may, ms.
const INTERJECTIONS: i64 = 20;
const BETWEEN_INTERJECTIONS: i64 = 3_000;

impl World {
    /// The group chat that never rests: the first one that is alive, or a chat if there is no group.
    pub(super) fn busy_group(&mut self) -> u32 {
        let alive = |c: &Chat| c.standing == Standing::Alive && !c.members.is_empty();
        match self.chats.iter().position(alive) {
            Some(n) => n as u32,
            None => self.pick_chat(),
        }
    }

    /// The copy that another line of the organisation receives: in another chat, with the same id.
    pub(super) fn copy_to_other_side(&mut self, n: u32, at: i64) {
        let (chat, visible_from) = (self.messages[n as usize].chat, self.messages[n as usize].visible_from);
        let other = self.pick_chat();
        if other == chat {
            return;
        }
        let copy = self.birth(other, at, true);
        let time_sent = self.messages[n as usize].time_sent;
        self.messages[n as usize].twin = Some(copy);
        let message = &mut self.messages[copy as usize];
        message.twin = Some(n);
        message.extras |= extra::BOTH_SIDES;
        (message.time_sent, message.visible_from) = (time_sent, visible_from);
        self.appear(copy, at);
    }

    /// An inbound message that comes between two pages of a list, as the knob `shift` asks. Not without limit: each may bring
    /// further requests, and these further messages.
    pub(super) fn interject(&mut self, at: i64) {
        let most = INTERJECTIONS + (at - self.setup.start_ms) / BETWEEN_INTERJECTIONS;
        if !self.quiet && self.interjections < most {
            self.interjections += 1;
            let chat = self.life.usize(0..self.chats.len().max(1)) as u32;
            let alive = self.chats.get(chat as usize).is_some_and(|c| c.standing == Standing::Alive);
            let chat = if alive { chat } else { self.pick_chat() };
            self.arrive(chat, at, true);
        }
    }

    pub(super) fn delete_message(&mut self, at: i64) {
        let chat = self.pick_chat() as usize;
        let count = self.chats[chat].visible.len();
        if count > 0 {
            let n = self.chats[chat].visible[self.life.usize(0..count)];
            self.remove(n);
            let message = &mut self.messages[n as usize];
            (message.visible, message.deleted_at) = (false, Some(at));
            self.stop(n);
        }
    }

    pub(super) fn delete_chat(&mut self, at: i64) {
        let c = self.pick_chat();
        let gone = std::mem::take(&mut self.chats[c as usize].visible);
        self.chats[c as usize].standing = Standing::Deleted;
        for n in gone {
            let message = &mut self.messages[n as usize];
            (message.visible, message.deleted_at) = (false, Some(at));
            self.stop(n);
        }
        self.recount(c);
    }

    pub(super) fn merge(&mut self) {
        let (from, into) = (self.pick_chat(), self.pick_chat());
        if from == into {
            return;
        }
        let moved = std::mem::take(&mut self.chats[from as usize].visible);
        for &n in &moved {
            self.messages[n as usize].chat = into;
        }
        self.chats[into as usize].visible.extend(moved);
        self.chats[from as usize].standing = Standing::MergedInto(into);
        self.recount(from);
        self.recount(into);
    }
}
