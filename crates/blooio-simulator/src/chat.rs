//! A simulated chat: a conversation, and who is in it.

/// What kind of conversation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Phone,
    Email,
    Group,
}

impl Kind {
    pub(super) fn shown(self) -> &'static str {
        match self {
            Kind::Phone => "phone",
            Kind::Email => "email",
            Kind::Group => "group",
        }
    }
}

/// Whether a conversation is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Alive,
    Deleted,
    MergedInto(u32),
}

/// One conversation. Its number is its place in the world's list.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) standing: Standing,
    /// The line it sticks to.
    pub(super) line: u16,
    /// The numbers in a group; empty otherwise.
    pub(super) members: Vec<String>,
    pub(super) name: Option<String>,
    pub(super) background: bool,
    /// Numbers of the messages that can be seen, by `time_sent`, then number.
    pub(super) visible: Vec<u32>,
    pub(super) inbound: u32,
    pub(super) last_inbound: Option<i64>,
    pub(super) last_outbound: Option<i64>,
    /// The time under which it stands in the list of chats.
    pub(super) listed_at: Option<i64>,
    /// Number of the message that came into being last.
    pub(super) newest: Option<u32>,
}

impl Chat {
    /// Conversation number `n` of the world with this tag.
    pub(super) fn new(tag: u32, n: u32, kind: Kind, line: u16) -> Chat {
        let (id, members) = match kind {
            Kind::Phone => (format!("+{}", 14_155_550_000_u64 + u64::from(n)), Vec::new()),
            Kind::Email => (format!("canary.{tag:06x}.{n}@mail.example"), Vec::new()),
            Kind::Group => {
                let first = 16_465_550_000_u64 + u64::from(n) * 4;
                let people = 2 + u64::from(n % 3);
                (format!("grp_{tag:06x}{n:05x}"), (0..people).map(|j| format!("+{}", first + j)).collect())
            }
        };
        let name = (n % 4 != 3).then(|| match kind {
            Kind::Group => format!("Canarygroup {tag:06x}-{n}"),
            _ => format!("Canaryname {tag:06x}-{n}"),
        });
        Chat {
            id,
            kind,
            standing: Standing::Alive,
            line,
            members,
            name,
            background: n % 5 == 2,
            visible: Vec::new(),
            inbound: 0,
            last_inbound: None,
            last_outbound: None,
            listed_at: None,
            newest: None,
        }
    }

    /// The key under which a group is found by the people in it.
    pub(super) fn people(&self) -> Option<String> {
        (self.kind == Kind::Group).then(|| people_key(self.members.clone()))
    }

    /// Whether a search for `q` (in lower case) finds it.
    pub(super) fn matches(&self, q: &str) -> bool {
        self.id.to_lowercase().contains(q)
            || self.name.as_ref().is_some_and(|name| name.to_lowercase().contains(q))
            || self.members.iter().any(|m| m.contains(q))
    }
}

/// An e-mail address with characters that a path must encode; all of them are legal in a quoted local part.
pub(super) fn awkward_id(tag: u32, n: u32) -> String {
    format!("canary/{tag:06x}%2F{n} 100%@mail.example")
}

/// One spelling for a set of people, whatever order they were named in.
pub(super) fn people_key(mut people: Vec<String>) -> String {
    people.sort();
    people.dedup();
    people.join(",")
}

/// The address of the background of chat number `n`.
pub(super) fn background_url(tag: u32, n: u32) -> String {
    format!("https://media.example/canary-background-{tag:06x}-{n}.jpg")
}

/// The id of the background of chat number `n`.
pub(super) fn background_id(tag: u32, n: u32) -> String {
    format!("bg_canary{tag:06x}{n:05x}")
}

/// The id of the contact of chat number `n`.
pub(super) fn contact_id(tag: u32, n: u32) -> String {
    format!("ct_{tag:06x}{n:05x}")
}
