//! Log lines on standard error, one per event, as logfmt or JSON.
//!
//! Only this crate speaks at the configured level. Every dependency is held at `warn`, whatever the level: HTTP and TLS
//! libraries print addresses, headers and bodies further down, and those carry keys and phone numbers. No environment
//! variable can lift that limit.

use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{Log, LogFormat, LogLevel};

/// Log lines per second that are written in the long run: as many of severity `error` and `warn`, and as many of the others,
/// so that neither crowds out the other.
pub const LINES_PER_SECOND: f64 = 50.0;
/// Lines of each kind that are written at once.
pub const LINES_AT_ONCE: f64 = 500.0;

/// The target under which this crate's library and binary log.
const OWN_TARGET: &str = "blooio_exporter";

/// What is logged; replaced when the level changes.
static LIMITS: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts logging to standard error and installs the panic hook.
///
/// Call it once, first thing. A second call changes nothing: the first settings stay in force.
pub fn init(log: &Log) {
    // An error here means that logging is already running, which is what the caller wanted.
    let (subscriber, limits) = subscriber(log, io::stderr);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _ = LIMITS.set(limits);
    }
    std::panic::set_hook(Box::new(report_panic));
}

/// Logs at another level from now on.
pub fn set_level(level: LogLevel) {
    if let Some(handle) = LIMITS.get() {
        // Fails only when nothing logs any more.
        let _ = handle.reload(limits(level));
    }
}

/// Says where the program panicked and in which thread. The payload is left out: it may quote data that was being
/// handled, such as a phone number.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(target: OWN_TARGET, location, thread = thread.name().unwrap_or("unnamed"), "panicked");
}

fn subscriber<W>(
    log: &Log,
    writer: W,
) -> (Box<dyn tracing::Subscriber + Send + Sync>, reload::Handle<Targets, Registry>)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let writer = Limited { writer, format: log.format, buckets: Arc::default() };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Logfmt => Box::new(tracing_logfmt::builder().layer().with_writer(writer)),
        LogFormat::Json => Box::new(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_writer(writer),
        ),
    };
    let (filter, handle) = reload::Layer::new(limits(log.level));
    (Box::new(Registry::default().with(layer.with_filter(filter))), handle)
}

/// A writer that drops what exceeds [`LINES_PER_SECOND`], and tells how much that was.
struct Limited<W> {
    writer: W,
    format: LogFormat,
    /// Of severe lines, and of the others.
    buckets: Arc<[Mutex<Bucket>; 2]>,
}

/// What may be written of one kind.
struct Bucket {
    lines: f64,
    since: Instant,
    dropped: u64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { lines: LINES_AT_ONCE, since: Instant::now(), dropped: 0 }
    }
}

impl Bucket {
    /// Whether one more line may be written at `now`, and how many before it were not.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let gained = now.saturating_duration_since(self.since).as_secs_f64() * LINES_PER_SECOND;
        self.lines = (self.lines + gained).min(LINES_AT_ONCE);
        self.since = now.max(self.since);
        // One for the line, and one to tell of those that were dropped.
        if self.lines < 2.0 {
            self.dropped += 1;
            return None;
        }
        let dropped = std::mem::take(&mut self.dropped);
        self.lines -= if dropped > 0 { 2.0 } else { 1.0 };
        Some(dropped)
    }
}

/// Where one event is written to; nowhere when there are too many.
struct Line<W>(Option<W>);

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log that cannot be written to must not end the program, and there is nobody to tell.
        let Some(writer) = &mut self.0 else { return Ok(bytes.len()) };
        Ok(writer.write(bytes).unwrap_or(bytes.len()))
    }
    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.as_mut().map(Write::flush);
        Ok(())
    }
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Limited<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Line(Some(self.writer.make_writer()))
    }

    fn make_writer_for(&'w self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        let bucket = &self.buckets[usize::from(*meta.level() > tracing::Level::WARN)];
        let taken = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        let Some(dropped) = taken else { return Line(None) };
        let mut writer = self.writer.make_writer_for(meta);
        if dropped > 0 {
            let at = humantime::format_rfc3339_millis(SystemTime::now());
            // A log that cannot be written to has nobody to tell.
            let _ = match self.format {
                LogFormat::Logfmt => writeln!(
                    writer,
                    "ts={at} level=warn target={OWN_TARGET} message=\"log lines dropped\" count={dropped}"
                ),
                LogFormat::Json => writeln!(
                    writer,
                    "{{\"timestamp\":\"{at}\",\"level\":\"WARN\",\"target\":\"{OWN_TARGET}\",\
                     \"message\":\"log lines dropped\",\"count\":{dropped}}}"
                ),
            };
        }
        Line(Some(writer))
    }
}

fn limits(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    Targets::new().with_target(OWN_TARGET, own).with_default(own.min(LevelFilter::WARN))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(level: LogLevel, format: LogFormat, speak: impl FnOnce()) -> String {
        let paper = Paper::default();
        let pen = paper.clone();
        tracing::subscriber::with_default(subscriber(&Log { level, format }, move || pen.clone()).0, speak);
        String::from_utf8(paper.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn logfmt_carries_time_level_target_and_fields_on_one_line() {
        let line = written(LogLevel::Info, LogFormat::Logfmt, || {
            tracing::info!(target: "blooio_exporter::app", account = "default", pages = 3, "sweep \"done\"\nnow");
        });
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.starts_with("ts=20") && time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "level=info target=blooio_exporter::app message=\"sweep \\\"done\\\"\\nnow\" account=default pages=3\n"
        );
    }

    #[test]
    fn json_is_one_object_per_line() {
        let line = written(LogLevel::Info, LogFormat::Json, || {
            tracing::warn!(target: "blooio_exporter", code = 429, "slow down\nplease");
        });
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["target"], "blooio_exporter");
        assert_eq!(value["message"], "slow down\nplease");
        assert_eq!(value["code"], 429);
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn dependencies_never_speak_below_warn() {
        let text = written(LogLevel::Debug, LogFormat::Logfmt, || {
            tracing::debug!(target: "blooio_exporter::api", "own debug");
            tracing::info!(target: "reqwest::connect", "canary one");
            tracing::debug!(target: "hyper::proto", "canary two");
            tracing::trace!(target: "rustls", "canary three");
            tracing::warn!(target: "rustls", "worth knowing");
        });
        assert!(text.contains("own debug") && text.contains("worth knowing"), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn a_level_above_warn_silences_the_warnings_of_dependencies_too() {
        let text = written(LogLevel::Error, LogFormat::Logfmt, || {
            tracing::warn!(target: "hyper", "one");
            tracing::warn!(target: "blooio_exporter", "two");
            tracing::error!(target: "blooio_exporter", "three");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn a_flood_of_lines_is_cut_and_told_and_leaves_room_for_what_is_severe() {
        for format in [LogFormat::Logfmt, LogFormat::Json] {
            let text = written(LogLevel::Info, format, || {
                for n in 0..5_000 {
                    tracing::info!(target: "blooio_exporter", n, "flood");
                }
                tracing::error!(target: "blooio_exporter", "severe");
                std::thread::sleep(std::time::Duration::from_millis(200));
                tracing::info!(target: "blooio_exporter", "after it");
            });
            let flood = text.lines().filter(|line| line.contains("flood")).count();
            assert!((400..1_000).contains(&flood), "{flood}");
            assert!(text.contains("severe") && text.contains("after it"));
            let told = text.lines().find(|line| line.contains("log lines dropped")).unwrap();
            assert!(told.contains("count"), "{told}");
            if format == LogFormat::Json {
                assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
            }
        }
    }

    #[test]
    fn a_panic_is_logged_without_its_payload() {
        let log = Log { level: LogLevel::Info, format: LogFormat::Logfmt };
        let paper = Paper::default();
        let pen = paper.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(report_panic));
        let ended = std::thread::spawn(move || {
            tracing::subscriber::with_default(subscriber(&log, move || pen.clone()).0, || {
                panic!("+13105550101")
            })
        })
        .join();
        std::panic::set_hook(before);
        assert!(ended.is_err());
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("message=panicked") && text.contains("logging.rs:"), "{text}");
        assert!(!text.contains("310555"), "{text}");
    }
}
