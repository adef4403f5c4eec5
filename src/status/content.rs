//! The content of the status page as data: `assess` fills it, `render` draws it.

/// How something is doing. It is told by a word and a shape as well as by its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Good,
    /// Nothing can be said yet.
    #[default]
    Unknown,
    /// Worth a look, and not broken.
    Warning,
    /// Broken: the operator has to act.
    Bad,
}

/// What the status page shows. Everyone who can open the page can read all of it.
#[derive(Clone, Debug, Default)]
pub struct StatusPage {
    /// The exporter's version, such as `0.1.0`.
    pub version: String,
    /// The moment that it describes, as people write it.
    pub taken_at: String,
    /// Length of the trailing window, such as `1 h`.
    pub window: String,
    /// How far back warnings look at present, such as `3 h`; a day is the most.
    pub looks_back: String,
    /// What is wrong with the exporter itself; empty when nothing is.
    pub problems: Vec<String>,
    /// Which replica holds which account; empty where one process watches all of them.
    pub holders: Vec<Holder>,
    /// The accounts of this process, in the order of the configuration.
    pub accounts: Vec<AccountStatus>,
}

/// Which replica holds an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The name of the account.
    pub account: String,
    /// Who holds it, such as `this replica`.
    pub replica: String,
    /// Whether that is as it should be.
    pub level: Level,
}

/// What the page says of one account.
#[derive(Clone, Debug, Default)]
pub struct AccountStatus {
    /// The name of the account.
    pub name: String,
    /// How its collection is doing.
    pub level: Level,
    /// The same in words, such as `collecting`.
    pub verdict: String,
    /// Figures of its collection.
    pub facts: Vec<Fact>,
    /// Its lines; those that need a look come first.
    pub lines: Vec<LineStatus>,
}

/// What the page says of one line.
#[derive(Clone, Debug, Default)]
pub struct LineStatus {
    /// The value of its label: an alias, or its number.
    pub name: String,
    /// How it is doing.
    pub level: Level,
    /// The same in words, such as `the device does not answer`.
    pub verdict: String,
    /// Its messages over the trailing window: any number of steps of equal length, the oldest first. Inbound,
    /// outbound, and how many of the outbound ones failed.
    pub steps: Vec<[u32; 3]>,
    /// Outbound messages of the window by status: its label, what it is drawn as, and how many.
    pub mix: Vec<(&'static str, Shade, u64)>,
    /// Further figures of the line.
    pub facts: Vec<Fact>,
}

/// A figure: what it is, what it says, and whether that is worth a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// What the figure is, such as `Failed`.
    pub term: &'static str,
    /// Such as `2 % (3 of 140)`.
    pub value: String,
    /// How to take it.
    pub level: Level,
}

/// What a part of the status mix is drawn as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// Messages that have a receipt.
    Delivered,
    /// Messages that were handed over and have no receipt.
    Sent,
    /// Still to be handed over.
    Waiting,
    /// Messages that ended as failed.
    Failed,
    /// Messages with any other status.
    Other,
}
