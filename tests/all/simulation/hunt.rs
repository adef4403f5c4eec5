//! Looks for the first life that notices a fault: `tests/mutants/run` calls it, on a copy of the sources that holds
//! mutants.

use std::any::Any;
use std::io::Write;
use std::panic::catch_unwind;

use super::case::Case;
use super::{from_environment, live_case};

/// Lives seeds one by one until one is breached: those of the kinds that `BLOOIO_KINDS` names first, then the others, and
/// none of those in `BLOOIO_SKIP`.
/// Says which seed it tries, so that a reader can tell a life that never ends.
#[test]
#[ignore = "for tests/mutants/run"]
fn the_first_life_that_notices() {
    let kinds = std::env::var("BLOOIO_KINDS").unwrap_or_default();
    let is_likely = |seed: u64| kinds.split(',').any(|kind| kind == format!("{:?}", Case::of(seed).kind));
    let skipped = std::env::var("BLOOIO_SKIP").unwrap_or_default();
    let is_skipped = |seed: &u64| skipped.split(',').any(|skip| skip == seed.to_string());
    let first = from_environment("BLOOIO_FIRST_SEED", 1);
    let mut seeds: Vec<u64> = (first..first + from_environment("BLOOIO_SEEDS", 300)).collect();
    seeds.retain(|seed| !is_skipped(seed));
    seeds.sort_by_key(|seed| !is_likely(*seed));
    std::panic::set_hook(Box::new(|_| {}));
    let mut output = std::io::stdout().lock();
    let mut say = |line: String| writeln!(output, "{line}").and_then(|()| output.flush()).unwrap();
    for seed in seeds {
        let case = Case::of(seed);
        let kind = case.kind;
        say(format!("trying {seed}"));
        let noticed = match catch_unwind(|| live_case(seed, case)) {
            Ok(life) => life.violations.told().first().map(|found| (found.invariant, found.to_string())),
            Err(panic) => Some(("panic", text(panic.as_ref()))),
        };
        if let Some((invariant, how)) = noticed {
            return say(format!("noticed {seed} {kind:?} {invariant} {}", how.replace('\n', " ")));
        }
    }
    say("unnoticed".into());
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a text").to_owned()
}
