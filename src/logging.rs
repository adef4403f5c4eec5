//! Log lines on standard error, one per event, as logfmt or JSON.
//!
//! Only this crate speaks at the configured level. Every dependency is held at `warn`, whatever the level: HTTP and TLS
//! libraries print addresses, headers and bodies further down, and those carry keys and phone numbers. No environment
//! variable can lift that limit.
//!
//! Lines are written by a thread of their own: a reader of standard error that stalls costs lines, and nothing else.
//! Characters that act on a terminal, or hide what stands beside them, are escaped: the API chooses some of the names.

use std::fmt;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{Log, LogFormat, LogLevel};
use crate::terminal;

/// Log lines per second that are written in the long run: as many of severity `error` and `warn`, and as many of the others,
/// so that neither crowds out the other.
pub const LINES_PER_SECOND: f64 = 50.0;
/// Lines of each kind that are written at once.
pub const LINES_AT_ONCE: f64 = 500.0;
/// Lines that wait for a standard error that takes none.
pub const LINES_WAITING: usize = 2_000;

/// The target under which this crate's library and binary log.
const OWN_TARGET: &str = "blooio_exporter";
/// The targets of the other crates of this workspace: their events belong to the program as much as its own.
const WORKSPACE_TARGETS: [&str; 2] = ["exporter_web", "blooio_simulator"];

/// What is logged; replaced when the level changes.
static LIMITS: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Writes the lines that still wait when it is dropped, for at most about a second.
#[must_use]
pub struct Logging {
    _writer: WorkerGuard,
}

/// Starts logging to standard error and installs the panic hook.
///
/// Call it once, first thing. A second call changes nothing: the first settings stay in force.
pub fn init(log: &Log) -> Logging {
    let (queue, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING)
        .thread_name("log")
        .finish(io::stderr());
    let lost = Lost { queue: Some(queue.error_counter()), reported: AtomicUsize::new(0) };
    // An error here means that logging is already running, which is what the caller wanted.
    let (subscriber, limits) = subscriber(log, queue, lost);
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _ = LIMITS.set(limits);
    }
    std::panic::set_hook(Box::new(report_panic));
    Logging { _writer: guard }
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
    lost: Lost,
) -> (Box<dyn tracing::Subscriber + Send + Sync>, reload::Handle<Targets, Registry>)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let writer = Limited { writer, format: log.format, buckets: Arc::default(), lost };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Logfmt => Box::new(tracing_logfmt::builder().layer().with_writer(writer)),
        LogFormat::Json => {
            Box::new(tracing_subscriber::fmt::layer().event_format(JsonLines).with_writer(writer))
        }
    };
    let (filter, handle) = reload::Layer::new(limits(log.level));
    (Box::new(Registry::default().with(layer.with_filter(filter))), handle)
}

/// An event as one JSON object, with the names and spellings of logfmt; the library's own differ from them.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let (at, metadata) = (humantime::format_rfc3339_micros(SystemTime::now()), event.metadata());
        let level = metadata.level().as_str().to_ascii_lowercase();
        let target = serde_json::Value::from(metadata.target());
        write!(writer, "{{\"ts\":\"{at}\",\"level\":\"{level}\",\"target\":{target}")?;
        let mut fields = JsonFields::default();
        event.record(&mut fields);
        writeln!(writer, "{}{}}}", fields.message, fields.others)
    }
}

/// The fields of an event, each as `,"name":value`. The message is the first, as in logfmt.
#[derive(Default)]
struct JsonFields {
    message: String,
    others: String,
}

impl JsonFields {
    fn add(&mut self, field: &Field, value: impl Into<serde_json::Value>) {
        let fields = if field.name() == "message" { &mut self.message } else { &mut self.others };
        *fields += &format!(",{}:{}", serde_json::Value::from(field.name()), value.into());
    }
}

impl Visit for JsonFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

/// A writer that drops what exceeds [`LINES_PER_SECOND`], and reports how much that was.
struct Limited<W> {
    writer: W,
    format: LogFormat,
    /// Of severe lines, and of the others.
    buckets: Arc<[Mutex<Bucket>; 2]>,
    lost: Lost,
}

/// Lines that the queue had no room for.
#[derive(Default)]
struct Lost {
    queue: Option<ErrorCounter>,
    /// How many of them were reported.
    reported: AtomicUsize,
}

impl Lost {
    fn count(&self) -> usize {
        self.queue.as_ref().map_or(0, ErrorCounter::dropped_lines)
    }
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
        // One for the line, and one for the count of those that were dropped.
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
struct Line<W> {
    writer: Option<W>,
    format: LogFormat,
}

impl<W: Write> Write for Line<W> {
    /// Takes whole events only, which is how the formatters write.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A log that cannot be written to must not end the program, and there is no other place to report it.
        let Some(writer) = &mut self.writer else { return Ok(bytes.len()) };
        let text = String::from_utf8_lossy(bytes);
        let shown = match self.format {
            LogFormat::Logfmt => terminal::printable_logfmt(&text),
            LogFormat::Json => terminal::printable_json(&text),
        };
        let _ = writer.write_all(shown.as_bytes());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        let _ = self.writer.as_mut().map(Write::flush);
        Ok(())
    }
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Limited<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Line { writer: Some(self.writer.make_writer()), format: self.format }
    }

    fn make_writer_for(&'w self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        let bucket = &self.buckets[usize::from(*meta.level() > tracing::Level::WARN)];
        let taken = bucket.lock().take(Instant::now());
        let Some(dropped) = taken else { return Line { writer: None, format: self.format } };
        let mut line = Line { writer: Some(self.writer.make_writer_for(meta)), format: self.format };
        let lost = self.lost.count();
        let dropped = dropped + lost.saturating_sub(self.lost.reported.load(Ordering::Relaxed)) as u64;
        if dropped > 0 {
            // A log that cannot be written to has no other place to report it.
            let _ = line.write_all(self.format.dropped(dropped).as_bytes());
            match self.lost.count() == lost {
                true => self.lost.reported.store(lost, Ordering::Relaxed),
                // This line was lost as well, which is no loss: the next one says it.
                false => drop(self.lost.reported.fetch_add(1, Ordering::Relaxed)),
            }
        }
        line
    }
}

impl LogFormat {
    /// The line that says how many lines are missing before it.
    fn dropped(self, count: u64) -> String {
        let at = humantime::format_rfc3339_millis(SystemTime::now());
        match self {
            Self::Logfmt => {
                format!(
                    "ts={at} level=warn target={OWN_TARGET} message=\"log lines dropped\" count={count}\n"
                )
            }
            Self::Json => format!(
                "{{\"ts\":\"{at}\",\"level\":\"warn\",\"target\":\"{OWN_TARGET}\",\
                 \"message\":\"log lines dropped\",\"count\":{count}}}\n"
            ),
        }
    }
}

fn limits(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let others = WORKSPACE_TARGETS.map(|target| (target, own));
    Targets::new().with_target(OWN_TARGET, own).with_targets(others).with_default(own.min(LevelFilter::WARN))
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
        tracing::subscriber::with_default(
            subscriber(&Log { level, format }, move || pen.clone(), Lost::default()).0,
            speak,
        );
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
        assert_eq!(value["level"], "warn");
        assert_eq!(value["target"], "blooio_exporter");
        assert_eq!(value["message"], "slow down\nplease");
        assert_eq!(value["code"], 429);
        assert!(value["ts"].as_str().unwrap().ends_with('Z'));
    }

    /// The fields of a line by name, as text.
    fn fields(format: LogFormat, line: &str) -> Vec<(String, String)> {
        let as_text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            value => value.to_string(),
        };
        let mut fields = Vec::new();
        match format {
            LogFormat::Json => {
                let object: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
                fields.extend(object.into_iter().map(|(name, value)| (name, as_text(value))));
            }
            LogFormat::Logfmt => {
                let mut rest = line.trim();
                while let Some((name, after)) = rest.split_once('=') {
                    let mut quoted = serde_json::Deserializer::from_str(after).into_iter::<String>();
                    let (value, length) = match after.starts_with('"') {
                        true => (quoted.next().unwrap().unwrap(), quoted.byte_offset()),
                        false => {
                            let length = after.find(' ').unwrap_or(after.len());
                            (after[..length].to_owned(), length)
                        }
                    };
                    fields.push((name.to_owned(), value));
                    rest = after[length..].trim_start();
                }
            }
        }
        fields.sort();
        fields
    }

    #[test]
    fn both_formats_have_the_same_names_and_values() {
        type Speak = fn();
        let events: [(&str, Speak); 6] = [
            ("a message alone", || tracing::info!(target: "blooio_exporter::app", "stopping")),
            (
                "numbers",
                || tracing::warn!(target: "blooio_exporter", n = -3, m = 7_u64, on = true, "numbers"),
            ),
            ("a fraction", || tracing::warn!(target: "blooio_exporter", seconds = 0.25, "took")),
            ("what is displayed", || {
                let error = io::Error::other("a \"quoted\" reason\nof two lines");
                tracing::error!(target: "exporter_web", %error, path = "/metrics", "failed");
            }),
            ("what is debugged", || tracing::warn!(target: "hyper", kind = ?Some(1), "a dependency")),
            ("a formatted message", || tracing::info!(target: "blooio_exporter", line = "é", "line {}", 3)),
        ];
        for (what, speak) in events {
            let [logfmt, json] = [LogFormat::Logfmt, LogFormat::Json].map(|format| {
                let line = written(LogLevel::Debug, format, speak);
                assert_eq!(line.lines().count(), 1, "{what}: {line}");
                let (times, others): (Vec<_>, Vec<_>) =
                    fields(format, &line).into_iter().partition(|(name, _)| name == "ts");
                let [(_, at)] = &times[..] else { panic!("{what}: {line}") };
                assert!(at.starts_with("20") && at.ends_with('Z'), "{what}: {line}");
                others
            });
            assert_eq!(json, logfmt, "{what}");
            assert!(json.iter().any(|(name, _)| name == "level") && json.len() >= 3, "{what}: {json:?}");
        }
        let dropped = [LogFormat::Logfmt, LogFormat::Json].map(|format| fields(format, &format.dropped(3)));
        let names = dropped.map(|fields| fields.into_iter().map(|(name, _)| name).collect::<Vec<_>>());
        assert_eq!(names[0], names[1]);
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
    fn nothing_in_a_name_acts_on_the_terminal_and_what_is_read_back_is_the_same() {
        const NAME: &str = "a\u{1b}[2Jb\u{202e}c\u{200b}d\u{2028}e\u{ad}f\u{e0041}g\u{9b}h\u{7f}é";
        for format in [LogFormat::Logfmt, LogFormat::Json] {
            let text = written(LogLevel::Info, format, || {
                tracing::info!(target: "blooio_exporter", line = NAME, "probed {NAME}");
            });
            let acting = |c: char| c != '\n' && terminal::printable(&c.to_string()).starts_with("\\u");
            assert!(!text.contains(acting) && text.contains("202e") && text.contains('é'), "{text:?}");
            if format == LogFormat::Json {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["line"], NAME);
            }
        }
    }

    #[test]
    fn a_queue_that_is_full_loses_lines_and_says_how_many() {
        /// Takes nothing until it is opened.
        #[derive(Clone)]
        struct Stalled(Arc<Mutex<()>>, Paper);
        impl io::Write for Stalled {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _open = self.0.lock();
                self.1.write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let stalled = Stalled(Arc::default(), Paper::default());
        let (queue, guard) =
            NonBlockingBuilder::default().lossy(true).buffered_lines_limit(10).finish(stalled.clone());
        let lost = Lost { queue: Some(queue.error_counter()), reported: AtomicUsize::new(0) };
        let log = Log { level: LogLevel::Info, format: LogFormat::Logfmt };
        let (subscriber, _limits) = subscriber(&log, queue.clone(), lost);
        let closed = stalled.0.lock().unwrap();
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..100 {
                tracing::info!(target: "blooio_exporter", n, "first");
            }
            let lost = queue.error_counter().dropped_lines();
            assert!(lost >= 85, "{lost}");
            drop(closed);
            while stalled.1.0.lock().unwrap().split(|b| *b == b'\n').count() < 10 {
                std::thread::yield_now();
            }
            tracing::info!(target: "blooio_exporter", "second");
        });
        drop(guard);
        let text = String::from_utf8(stalled.1.0.lock().unwrap().clone()).unwrap();
        // The queue may have had room for a moment in between: then several lines say it.
        let told = text.lines().filter_map(|line| line.split_once("log lines dropped\" count="));
        let told: usize = told.map(|(_, count)| count.parse::<usize>().unwrap()).sum();
        let first = text.lines().filter(|line| line.contains("message=first")).count();
        assert_eq!(told, 100 - first, "{text}");
        assert!(text.contains("second"), "{text}");
    }

    #[test]
    fn a_panic_is_logged_without_its_payload() {
        let log = Log { level: LogLevel::Info, format: LogFormat::Logfmt };
        let paper = Paper::default();
        let pen = paper.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(report_panic));
        let ended = std::thread::spawn(move || {
            tracing::subscriber::with_default(
                subscriber(&log, move || pen.clone(), Lost::default()).0,
                || panic!("+13105550101"),
            )
        })
        .join();
        std::panic::set_hook(before);
        assert!(ended.is_err());
        let text = String::from_utf8(paper.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("message=panicked") && text.contains("logging.rs:"), "{text}");
        assert!(!text.contains("310555"), "{text}");
    }
}
