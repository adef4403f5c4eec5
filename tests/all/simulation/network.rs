//! The network of a simulated life: carries requests to the world without sockets, and watches their manners.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use blooio_exporter::api::decode::BodyFault;
use blooio_exporter::api::{ConnectionFault, Fault, Reply, Transport};
use blooio_exporter::clock::Clock;
use blooio_exporter::simulator::{Request, Wire, World};
use tokio::time::{Instant, sleep};

use super::oracle::Oracle;

/// How long the client waits for an answer; a world that hangs costs this much.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests that one read of one chat may cost beside those that its messages fill, however unlucky: each
/// millisecond that overfills a page is gone through in at most 60.
const LONGEST_READ: u32 = 200;

/// What the network remembers of one process.
#[derive(Default)]
struct Manners {
    last_sent: Option<Instant>,
    welcome_at: Option<Instant>,
    run: (String, i64, u32),
}

/// A transport into a world.
#[derive(Clone)]
pub(crate) struct Network {
    world: Arc<Mutex<World>>,
    oracle: Arc<Mutex<Oracle>>,
    clock: Clock,
    spacing: Duration,
    rng: Arc<Mutex<fastrand::Rng>>,
    manners: Arc<Mutex<Manners>>,
    traced: bool,
}

impl Network {
    /// The network of one process: it knows no pause that was asked of an earlier one.
    pub(crate) fn new(
        world: &Arc<Mutex<World>>,
        oracle: &Arc<Mutex<Oracle>>,
        clock: Clock,
        budget: f64,
        rng: &Arc<Mutex<fastrand::Rng>>,
    ) -> Network {
        Network {
            world: Arc::clone(world),
            oracle: Arc::clone(oracle),
            clock,
            spacing: Duration::from_secs_f64(1.0 / budget),
            rng: Arc::clone(rng),
            manners: Arc::default(),
            traced: std::env::var_os("BLOOIO_TRACE").is_some(),
        }
    }

    /// I11: evenly spaced, and none inside a pause that the client has been told of.
    fn check_manners(&self, target: &str) {
        let now = Instant::now();
        let mut manners = self.manners.lock().unwrap();
        let mut oracle = self.oracle.lock().unwrap();
        oracle.stats.requests += 1;
        // Timers have a grain of 1 ms.
        let grain = Duration::from_millis(2);
        if let Some(last) = manners.last_sent
            && now - last + grain < self.spacing
        {
            oracle.violated("I11", format!("two requests within {:?}", now - last));
        }
        if let Some(welcome_at) = manners.welcome_at
            && now + grain < welcome_at
        {
            oracle.violated("I11", format!("a request {:?} before the end of Retry-After", welcome_at - now));
        }
        manners.last_sent = Some(now);
        // I8: a read goes forward in time; where it starts over, another read begins.
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if path.ends_with("/messages") {
            let since = query.split('&').find_map(|pair| pair.strip_prefix("since="));
            let since: i64 = since.and_then(|since| since.parse().ok()).unwrap_or(0);
            let run = &mut manners.run;
            let goes_on = run.0 == path && since >= run.1;
            *run = (path.to_owned(), since, if goes_on { run.2 + 1 } else { 1 });
            if run.2 > LONGEST_READ + oracle.messages_hint {
                oracle.violated("I8", format!("a read of one chat took {} requests", run.2));
            }
        }
    }

    fn note_pause(&self, reply: &Reply) {
        let Some(value) = &reply.retry_after else { return };
        let seconds = match value.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let (Ok(until), Some(Ok(date))) =
                    (httpdate::parse_http_date(value), reply.date.as_deref().map(httpdate::parse_http_date))
                else {
                    return;
                };
                until.duration_since(date).unwrap_or_default()
            }
        };
        let mut manners = self.manners.lock().unwrap();
        manners.welcome_at = manners.welcome_at.max(Some(Instant::now() + seconds));
    }
}

impl Transport for Network {
    async fn get(&self, target: &str) -> Result<Reply, Fault> {
        self.check_manners(target);
        let (there, back) = {
            let mut rng = self.rng.lock().unwrap();
            (Duration::from_millis(rng.u64(2..30)), Duration::from_millis(rng.u64(2..30)))
        };
        sleep(there).await;
        let reply = {
            let mut world = self.world.lock().unwrap();
            let request = Request::get(target, &world.setup().key.clone());
            let now = self.clock.now() + self.oracle.lock().unwrap().world_ahead;
            let reply = world.respond(now, &request);
            if self.traced {
                println!("{now} {target} {} {:?}", reply.status, reply.wire);
            }
            reply
        };
        sleep(back).await;
        let header = |name: &str| reply.header(name).map(str::to_owned);
        let mut answer = Reply {
            status: reply.status,
            date: header("date"),
            retry_after: header("retry-after"),
            body: reply.body.to_vec(),
        };
        match reply.wire {
            Wire::Normal => {}
            Wire::DelayHead(ms) | Wire::DelayBody(ms) if Duration::from_millis(ms) < PATIENCE => {
                sleep(Duration::from_millis(ms)).await;
            }
            Wire::DelayHead(_) | Wire::DelayBody(_) | Wire::Hang => {
                sleep(PATIENCE).await;
                return Err(Fault::Timeout);
            }
            Wire::TruncateAt(_) if answer.status == 200 => return Err(Fault::Body(BodyFault::Truncated)),
            Wire::TruncateAt(bytes) | Wire::CloseDelimitedTruncated(bytes) => answer.body.truncate(bytes),
            Wire::Reset => return Err(Fault::Connection(ConnectionFault::Closed)),
        }
        self.note_pause(&answer);
        Ok(answer)
    }
}
