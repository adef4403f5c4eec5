//! Faults that tests put in on purpose, to show that the tests would notice them. Without the feature
//! `mutants`, which no release has, there is none and nothing of this is left in the program.

/// A fault that the collector could have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Each chat has a floor of its own: what it has been read up to is never counted any more.
    PerChatFloor,
    /// Old ids are forgotten although the floor has not passed them.
    PruneWithoutFloor,
    /// Messages without an end are not kept track of.
    NoPending,
    /// An end can be followed by another end.
    TerminalReopened,
    /// Messages are counted whether their id is known or not.
    CounterWithoutId,
    /// The page shows what is not committed yet.
    PublishBeforeCommit,
    /// Chats are never read deeply again.
    NoAudit,
    /// The list of chats is never read to its end.
    NoFullSweep,
    /// A sweep ends with the first chat that did not change.
    StopAtFirstUnchanged,
    /// A millisecond with more messages than a page has is passed after its first page.
    NoTieDrain,
    /// A message is given up when it is first answered with 404.
    VanishAtFirst404,
    /// A page with fewer rows than asked for is taken for the last one.
    ShortPageIsEnd,
    /// A chat is taken as read before it is read.
    CursorBeforeData,
    /// A chat has changed only when its newest message is newer.
    TimeOnlyChange,
}

#[cfg(not(feature = "mutants"))]
/// Whether the fault is in.
pub(crate) const fn is(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

#[cfg(feature = "mutants")]
/// Whether the fault is in.
pub(crate) fn is(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}

#[cfg(feature = "mutants")]
/// Puts one fault into what runs on this thread, or none.
pub fn put_in(mutant: Option<Mutant>) {
    ACTIVE.set(mutant);
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// Every fault.
    pub const ALL: [Mutant; 14] = [
        Mutant::PerChatFloor,
        Mutant::PruneWithoutFloor,
        Mutant::NoPending,
        Mutant::TerminalReopened,
        Mutant::CounterWithoutId,
        Mutant::PublishBeforeCommit,
        Mutant::NoAudit,
        Mutant::NoFullSweep,
        Mutant::StopAtFirstUnchanged,
        Mutant::NoTieDrain,
        Mutant::VanishAtFirst404,
        Mutant::ShortPageIsEnd,
        Mutant::CursorBeforeData,
        Mutant::TimeOnlyChange,
    ];
}
