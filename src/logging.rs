//! Log lines on standard error, one per event, as logfmt or JSON.
//!
//! Only this crate speaks at the configured level. Every dependency is held at `warn`, whatever the level: HTTP and TLS
//! libraries print addresses, headers and bodies further down, and those carry keys and phone numbers. No environment
//! variable can lift that limit.

use std::io;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{Log, LogFormat, LogLevel};

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
