//! The process as the kernel sees it: the usual `process_*` families.

use procfs::process::{LimitValue, Process};
use procfs::{CurrentSI, WithCurrentSystemInfo};

/// What `/proc/self` says. A value that cannot be read is missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu_seconds: Option<f64>,
    /// How many file descriptors are open.
    pub open_fds: Option<f64>,
    /// How many file descriptors may be open.
    pub max_fds: Option<f64>,
    /// Size of the virtual memory, in bytes.
    pub virtual_bytes: Option<f64>,
    /// Size of the resident memory, in bytes.
    pub resident_bytes: Option<f64>,
    /// Start time, unix seconds.
    pub started: Option<f64>,
}

impl Usage {
    /// Of this process, now.
    pub fn now() -> Usage {
        let Ok(process) = Process::myself() else { return Usage::default() };
        let stat = process.stat().ok();
        let ticks = procfs::ticks_per_second() as f64;
        let booted = procfs::KernelStats::current().ok().map(|kernel| kernel.btime as f64);
        let max_fds = process.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
            LimitValue::Value(limit) => Some(limit as f64),
            LimitValue::Unlimited => None,
        });
        Usage {
            cpu_seconds: stat.as_ref().map(|stat| (stat.utime + stat.stime) as f64 / ticks),
            open_fds: process.fd_count().ok().map(|count| count as f64),
            max_fds,
            virtual_bytes: stat.as_ref().map(|stat| stat.vsize as f64),
            resident_bytes: stat.as_ref().map(|stat| stat.rss_bytes().get() as f64),
            started: stat.zip(booted).map(|(stat, booted)| booted + stat.starttime as f64 / ticks),
        }
    }
}
