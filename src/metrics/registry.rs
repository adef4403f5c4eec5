//! The registry: where collectors publish their newest views, and pages read all of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::RwLock;

use crate::domain::view::Snapshot;
use crate::domain::{Counter, Histogram, HistogramKey, LineId, View};
use crate::lease::LeaseCheck;
use crate::terminal;

/// Names for lines, by account and then by number.
pub type Aliases = BTreeMap<String, BTreeMap<String, String>>;

/// Labels that the operator gave an account and its lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Labels of the family `blooio_account_info`.
    pub of_account: BTreeMap<String, String>,
    /// Of lines, by number.
    pub of_lines: BTreeMap<String, BTreeMap<String, String>>,
}

/// What the page is made from. It is replaced as a whole: no page shows half of a new configuration.
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<Arc<Display>>>);

/// What the page is made from, in the order in which it is shown.
#[derive(Clone, Debug, Default)]
pub struct Display {
    /// A place for every account, in the order in which they are shown.
    pub slots: Vec<Slot>,
    /// What lines are called in labels.
    pub aliases: Aliases,
    /// Labels of accounts and lines, by account.
    pub labels: BTreeMap<String, Labels>,
    /// Length of the trailing window, seconds.
    pub window_seconds: f64,
    /// Whether the newest reading of the configuration succeeded.
    pub configured: bool,
    /// When the configuration was last read with success, unix seconds.
    pub configured_at: f64,
    /// Counters and histograms of accounts that are not watched any more. What is summed over accounts includes
    /// them: a sum that falls because an account left would pass for a restart of all counting.
    pub retired: Vec<RetiredTotals>,
    /// What was counted of accounts before this process began to work on them, where replicas share the accounts: sums without
    /// the label `account` are of this process alone, or each takeover would add a past that another replica has shown.
    pub before: RetiredTotals,
    /// Grows with every change of the registry.
    revision: u64,
}

/// What is left on the page of an account that is not watched any more.
#[derive(Clone, Debug, Default)]
pub struct RetiredTotals {
    /// Its counters as they were last.
    pub counters: Vec<(Counter, u64)>,
    /// Its histograms as they were last.
    pub histograms: Vec<(HistogramKey, Histogram)>,
}

impl RetiredTotals {
    /// What every sum without the label `account` is made of.
    pub fn of(snapshot: &Snapshot) -> RetiredTotals {
        RetiredTotals { counters: snapshot.counters.clone(), histograms: snapshot.histograms.clone() }
    }

    /// Adds another one, series by series.
    pub fn add(&mut self, other: RetiredTotals) {
        for (counter, value) in other.counters {
            match self.counters.iter_mut().find(|(known, _)| *known == counter) {
                Some((_, sum)) => *sum = sum.saturating_add(value),
                None => self.counters.push((counter, value)),
            }
        }
        for (key, histogram) in other.histograms {
            match self.histograms.iter_mut().find(|(known, _)| *known == key) {
                Some((_, sum)) => sum.add(&histogram),
                None => self.histograms.push((key, histogram)),
            }
        }
    }
}

/// The place of one account.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    view: Arc<ArcSwap<View>>,
    lease: LeaseCheck,
}

impl Slot {
    /// A place that is shown only while a lease is valid.
    pub fn under(lease: LeaseCheck) -> Slot {
        Slot { lease, ..Slot::default() }
    }

    /// Puts up a newer view. Readers keep the one that they hold.
    pub fn publish(&self, view: View) {
        self.view.store(Arc::new(view));
    }

    /// The newest view that was published.
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Whether the account may be on a page now.
    pub fn is_shown(&self) -> bool {
        self.lease.is_valid()
    }
}

impl Registry {
    /// Changes what the page is made from.
    pub fn change(&self, change: impl FnOnce(&mut Display)) {
        let mut display = self.0.write();
        let display = Arc::make_mut(&mut display);
        change(display);
        display.revision += 1;
    }

    /// What the page is made from, in the order in which it is shown.
    pub fn display(&self) -> Arc<Display> {
        Arc::clone(&self.0.read())
    }

    /// The newest view of every account.
    pub fn views(&self) -> Vec<Arc<View>> {
        self.display().views()
    }
}

impl Display {
    /// The newest view of every account that may be on a page now.
    pub fn views(&self) -> Vec<Arc<View>> {
        self.slots.iter().filter(|slot| slot.is_shown()).map(Slot::view).collect()
    }

    /// The newest view of every account, whether it may be on a page or not: sums of the process do not depend on that.
    pub(super) fn all_views(&self) -> Vec<Arc<View>> {
        self.slots.iter().map(Slot::view).collect()
    }

    /// What a line is called on every page: its alias, else its number with everything escaped that is not visible, or
    /// `none`. A number that reads like an alias, or
    /// like one of our own words, is shown behind `api:`, so that no two lines ever share a name.
    pub fn line_name<'a>(&'a self, view: &'a View, line: LineId) -> Cow<'a, str> {
        let Some(number) = view.snapshot.lines.get(&line) else { return Cow::Borrowed("none") };
        if matches!(line, LineId::NONE | LineId::OVERFLOW) {
            return Cow::Borrowed(number);
        }
        let aliases = self.aliases.get(&view.account);
        if let Some(alias) = aliases.and_then(|aliases| aliases.get(number)) {
            return Cow::Borrowed(alias);
        }
        // The escaping is one to one, so that two names stay two.
        let name = terminal::printable(number);
        let is_taken = matches!(name.as_str(), "none" | "other" | "overflow")
            || name.starts_with("api:")
            || aliases.is_some_and(|aliases| aliases.values().any(|alias| *alias == name));
        match is_taken {
            true => Cow::Owned(format!("api:{name}")),
            false if name == *number => Cow::Borrowed(number),
            false => Cow::Owned(name),
        }
    }

    /// Distinguishes this state of the registry from every other.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lines_share_a_name_whatever_the_api_says() {
        let numbers = ["none", "overflow", "other", "sales", "api:sales", "api:none", "+13105550101", "x"];
        let mut view = View { account: "a".to_owned(), ..View::default() };
        view.snapshot.lines.insert(LineId::NONE, "none".to_owned());
        view.snapshot.lines.insert(LineId::OVERFLOW, "overflow".to_owned());
        for (number, id) in numbers.iter().zip(1..) {
            view.snapshot.lines.insert(LineId(id), (*number).to_owned());
        }
        let aliases = BTreeMap::from([("+13105550101".to_owned(), "sales".to_owned())]);
        let display = Display { aliases: BTreeMap::from([("a".to_owned(), aliases)]), ..Display::default() };
        let names: std::collections::BTreeSet<String> =
            view.snapshot.lines.keys().map(|line| display.line_name(&view, *line).into_owned()).collect();
        assert_eq!(names.len(), numbers.len() + 2, "{names:?}");
        assert_eq!(display.line_name(&view, LineId(7)), "sales");
        assert_eq!(display.line_name(&view, LineId(4)), "api:sales");
    }
}
