//! The metrics page: when it is encoded, and what of it is cached.
//!
//! What depends only on the views is encoded once per change of them and copied from then on; ages and the process are
//! encoded again, once a second at most.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode_eof;

use super::exposition::{About, Cached, LastReload, Live, Outside, encode};
use super::process::Usage;
use super::registry::{Display, Registry};
use super::writer::Syntax;
use crate::domain::View;

/// How long a page may be shown again while nothing was committed: the ages and the process on it are as old.
const PAGE_AGE_MS: i64 = 1000;

/// The metrics page of what the registry holds.
pub struct MetricsPage {
    registry: Registry,
    about: About,
    /// What was encoded last, by syntax, and what it was encoded from.
    cache: Mutex<[(CacheKey, Bytes); 2]>,
    /// The last rendered page, by syntax.
    rendered: Mutex<[Option<Rendered>; 2]>,
}

/// A page, and what it was made of. Scrapers of the same second share its memory, however slowly they take it.
struct Rendered {
    key: CacheKey,
    outside: Outside,
    made: i64,
    text: Bytes,
}

/// Revision of the registry, and which version of which account.
type CacheKey = (u64, Vec<(String, u64)>);

impl MetricsPage {
    /// A page over everything in the registry.
    pub fn new(registry: Registry, about: About) -> MetricsPage {
        MetricsPage { registry, about, cache: Mutex::default(), rendered: Mutex::default() }
    }

    /// The page, as of `now` (local unix ms). Fails whole or not at all. `web_reload` is of the web configuration file,
    /// where there is one.
    ///
    /// What was committed is on it; ages and the process may be those of up to a second ago.
    pub fn encode(
        &self,
        syntax: Syntax,
        now: i64,
        web_reload: Option<LastReload>,
    ) -> Result<Bytes, fmt::Error> {
        self.encode_with(syntax, now, Outside { web_reload, ..Outside::default() })
    }

    /// The same with everything that is shown beside views and ages.
    pub fn encode_with(&self, syntax: Syntax, now: i64, outside: Outside) -> Result<Bytes, fmt::Error> {
        let display = self.registry.display();
        let views = display.views();
        let key = cache_key_of(&display, &views);
        let is_recent = |rendered: &&Rendered| {
            (0..PAGE_AGE_MS).contains(&(now - rendered.made))
                && rendered.key == key
                && rendered.outside == outside
        };
        let at = syntax as usize;
        let rendered = self.rendered.lock();
        if let Some(rendered) = rendered[at].as_ref().filter(is_recent) {
            return Ok(rendered.text.clone());
        }
        drop(rendered);
        let cached = self.cached(syntax, &display, &views, &key)?;
        let live = Live {
            syntax,
            views,
            display: Arc::clone(&display),
            now,
            usage: Usage::now(),
            outside: outside.clone(),
        };
        let mut text = encode(live, cached.len() / 8)?;
        if syntax == Syntax::OpenMetrics {
            encode_eof(&mut text)?;
        }
        let mut page = BytesMut::with_capacity(cached.len() + text.len());
        page.extend_from_slice(&cached);
        page.extend_from_slice(text.as_bytes());
        let text = page.freeze();
        // A lease may have expired meanwhile, and the account must not be shown any more.
        if display.views().len() < key.1.len() {
            return self.encode_with(syntax, now, outside);
        }
        self.rendered.lock()[at] = Some(Rendered { key, outside, made: now, text: text.clone() });
        Ok(text)
    }

    /// What changes only with the views.
    fn cached(
        &self,
        syntax: Syntax,
        display: &Arc<Display>,
        views: &[Arc<View>],
        key: &CacheKey,
    ) -> Result<Bytes, fmt::Error> {
        let at = syntax as usize;
        {
            let cache = self.cache.lock();
            if !cache[at].1.is_empty() && cache[at].0 == *key {
                return Ok(cache[at].1.clone());
            }
        }
        let (views, display) = (views.to_vec(), Arc::clone(display));
        let cached = Cached { syntax, views, display, about: self.about.clone() };
        let text = Bytes::from(encode(cached, 64 * 1024)?);
        // Encoded outside the lock: scrapers of a slow moment encode twice rather than wait for each other.
        self.cache.lock()[at] = (key.clone(), text.clone());
        Ok(text)
    }
}

fn cache_key_of(display: &Display, views: &[Arc<View>]) -> CacheKey {
    (display.revision(), views.iter().map(|view| (view.account.clone(), view.version)).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Slot;
    use super::*;

    #[test]
    fn publishing_waits_for_nothing_that_a_scrape_holds() {
        let (registry, slot) = (Registry::default(), Slot::default());
        registry.change(|display| display.slots = vec![slot.clone()]);
        let page = MetricsPage::new(registry.clone(), About { version: "", revision: "", rustc: "" });
        // A scrape stands still in the middle of everything it could hold.
        let (_cache, _rendered) = (page.cache.lock(), page.rendered.lock());
        let _held = (registry.display(), registry.views());
        let (done, published) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            slot.publish(View { version: 7, ..View::default() });
            let _ = done.send(());
        });
        assert_eq!(published.recv_timeout(Duration::from_secs(60)), Ok(()), "a commit waits for a scrape");
        assert_eq!(registry.views()[0].version, 7);
    }
}
