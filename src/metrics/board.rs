//! Where collectors hang up their newest view, and the page finds all of them.

use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;

use crate::domain::View;

/// The newest view of every account, in the order in which they were added.
#[derive(Clone, Default)]
pub struct Board {
    slots: Arc<RwLock<Vec<Slot>>>,
}

/// The place of one account.
#[derive(Clone)]
pub struct Slot(Arc<ArcSwap<View>>);

impl Slot {
    /// Puts up a newer view. Readers keep the one that they hold.
    pub fn publish(&self, view: View) {
        self.0.store(Arc::new(view));
    }

    /// The newest view.
    pub fn view(&self) -> Arc<View> {
        self.0.load_full()
    }
}

impl Board {
    /// A place for one more account.
    pub fn slot(&self) -> Slot {
        let slot = Slot(Arc::new(ArcSwap::from_pointee(View::default())));
        self.slots.write().unwrap_or_else(PoisonError::into_inner).push(slot.clone());
        slot
    }

    /// The newest view of every account.
    pub fn views(&self) -> Vec<Arc<View>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).iter().map(Slot::view).collect()
    }
}
