//! Simulated lives of several replicas: pauses longer than a lease, clocks that stop or are set back, answers that are late or
//! lost, and a database that goes back in time. What must hold is checked at every step against a record of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Beat, Grant, Holder, Moment, Replica, Sequence, Table, Timing, Verdict};

const ACCOUNTS: [&str; 3] = ["a", "b", "c"];
const STEP: i64 = 100;
const LIVES: u64 = 300;
/// Length of a life, and of the quiet time at its end, in ms.
const LENGTH: i64 = 240_000;
const QUIET: i64 = 60_000;
const TTL: i64 = 15_000;
/// From which moment on a renewal is counted: the one at which it began.
const COUNTED_FROM_ITS_BEGINNING: bool = true;

/// An account in the database: how many messages are counted, and the number of the newest commit.
#[derive(Clone, Copy, Default)]
struct Row {
    value: i64,
    number: i64,
}

#[derive(Clone, Default)]
struct Database {
    table: Table,
    rows: BTreeMap<&'static str, Row>,
    /// Who holds what, recorded apart from the table that is judged.
    owner: BTreeMap<&'static str, Option<Grant>>,
}

/// What is asked of the database over a connection.
#[derive(Clone)]
enum Ask {
    Beat(Vec<(String, Grant)>),
    Take(&'static str),
    Release(&'static str, Grant),
    Commit { account: &'static str, grant: Grant, number: i64, between: (i64, i64), value: i64 },
}

enum Answer {
    Beat(Beat),
    Taken(Option<Grant>, Row),
    Released,
    Committed(Result<(), Option<i64>>),
}

struct Pending {
    ask: Ask,
    began: Moment,
    executes: Option<i64>,
    answers: i64,
    is_lost: bool,
    answer: Option<Answer>,
}

/// What works on one account: it has read `value` messages, of which `shown` are committed.
struct Collector {
    grant: Grant,
    sequence: Sequence,
    value: i64,
    shown: i64,
    is_whole: bool,
    pending: Option<Pending>,
}

struct Process {
    replica: Replica,
    collectors: BTreeMap<&'static str, Collector>,
    leases: Option<Pending>,
    beat_at: i64,
    paused_until: i64,
    slept: i64,
    set_back: i64,
}

impl Process {
    fn now(&self, t: i64) -> Moment {
        Moment {
            mono: Duration::from_millis((t - self.slept) as u64),
            wall: 1_000_000_000 + t - self.set_back,
        }
    }
}

/// What the world itself records.
#[derive(Default)]
struct Record {
    epochs: BTreeMap<&'static str, i64>,
    shown: BTreeMap<&'static str, i64>,
    travelled_at: Option<i64>,
    /// Accounts that nothing was committed of since the database went back: what was shown before can be lost with its holder.
    unsettled: BTreeSet<&'static str>,
    takes: u64,
    fenced: u64,
    lost: u64,
}

struct Life {
    rng: fastrand::Rng,
    t: i64,
    database: Database,
    copies: Vec<Database>,
    processes: Vec<Process>,
    record: Record,
    /// Machines sleep in this life; else clocks are set back. One of the two clocks must go on.
    sleeps: bool,
}

fn name_of(account: &str) -> &'static str {
    ACCOUNTS.into_iter().find(|known| *known == account).unwrap()
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut rng = fastrand::Rng::with_seed(seed);
        let sleeps = rng.bool();
        let process = |n: u128| Process {
            replica: Replica::new(
                Holder::new(n << 80 | n),
                Timing::default(),
                ACCOUNTS.iter().map(|account| (*account).to_owned()),
            ),
            collectors: BTreeMap::new(),
            leases: None,
            beat_at: 0,
            paused_until: 0,
            slept: 0,
            set_back: 0,
        };
        let (database, processes) = (Database::default(), (1..4).map(process).collect());
        Life { rng, t: 0, database, copies: Vec::new(), processes, record: Record::default(), sleeps }
    }

    fn is_quiet(&self) -> bool {
        self.t > LENGTH
    }

    /// Messages that exist now.
    fn truth(&self) -> i64 {
        self.t.min(LENGTH) / 500
    }

    fn pending(&mut self, ask: Ask, began: Moment) -> Pending {
        let (t, quiet) = (self.t, self.is_quiet());
        let mut executes = Some(t + self.rng.i64(0..300));
        let mut answers = t + 300 + self.rng.i64(0..300);
        let is_lost = !quiet && self.rng.u8(0..100) < 12;
        if is_lost {
            answers = t + 5_000;
            executes = match self.rng.u8(0..3) {
                0 => None,
                1 => executes,
                // The connection is given up, and the server executes it nevertheless, some time later.
                _ => Some(t + self.rng.i64(5_000..12_000)),
            };
        }
        Pending { ask, began, executes, answers, is_lost, answer: None }
    }

    /// What goes wrong now.
    fn disturb(&mut self) {
        if self.is_quiet() {
            return;
        }
        for n in 0..self.processes.len() {
            if self.processes[n].paused_until > self.t {
                continue;
            }
            if self.rng.u16(0..1_000) < 3 {
                let pause = self.rng.i64(2_000..40_000);
                self.processes[n].paused_until = self.t + pause;
                if self.sleeps {
                    self.processes[n].slept += pause;
                }
            }
            if !self.sleeps && self.rng.u16(0..2_000) < 2 {
                self.processes[n].set_back += 3_600_000;
            }
        }
        if self.t % 1_000 == 0 {
            self.copies.push(self.database.clone());
        }
        if self.rng.u16(0..10_000) < 3 && self.copies.len() > 8 {
            self.travel();
        }
    }

    /// A standby takes over that lacks the newest seconds. Connections end with the old primary.
    fn travel(&mut self) {
        let back = self.rng.usize(1..8);
        self.database = self.copies[self.copies.len() - back].clone();
        for process in &mut self.processes {
            let collectors = process.collectors.values_mut().map(|collector| &mut collector.pending);
            for pending in collectors.chain([&mut process.leases]).flatten() {
                if pending.answer.is_none() {
                    pending.executes = None;
                    pending.is_lost = true;
                }
            }
        }
        self.record.travelled_at = Some(self.t);
        self.record.epochs.clear();
        self.record.unsettled.extend(ACCOUNTS);
    }

    fn execute(&mut self, holder: Holder, ask: &Ask) -> Answer {
        let clock = (self.t, TTL);
        let accounts = ACCOUNTS.map(str::to_owned);
        match ask {
            Ask::Beat(held) => Answer::Beat(self.database.table.beat(holder, &accounts, held, clock)),
            Ask::Release(account, grant) => {
                self.database.table.release(account, *grant);
                if self.database.owner.get(account) == Some(&Some(*grant)) {
                    self.database.owner.insert(account, None);
                }
                Answer::Released
            }
            Ask::Take(account) => {
                let taken = self.database.table.take(account, holder, "", clock);
                if let Some(grant) = taken {
                    let before = self.record.epochs.insert(account, grant.epoch).unwrap_or(0);
                    assert!(
                        grant.epoch > before,
                        "t {}: epoch {} of {account} was issued twice",
                        self.t,
                        grant.epoch
                    );
                    self.database.owner.insert(account, Some(grant));
                    self.record.takes += 1;
                }
                Answer::Taken(taken, self.database.rows.get(account).copied().unwrap_or_default())
            }
            Ask::Commit { account, grant, number, between, value } => {
                if !self.database.table.is_held(account, *grant) {
                    return Answer::Committed(Err(None));
                }
                let row = self.database.rows.entry(account).or_default();
                if !(between.0..=between.1).contains(&row.number) {
                    return Answer::Committed(Err(Some(row.number)));
                }
                let owner = self.database.owner.get(account).copied().flatten();
                assert_eq!(
                    owner,
                    Some(*grant),
                    "t {}: a commit of {account} by one who does not hold it",
                    self.t
                );
                assert!(*value >= row.value, "t {}: {account} fell from {} to {value}", self.t, row.value);
                *row = Row { value: *value, number: *number };
                self.record.unsettled.remove(account);
                Answer::Committed(Ok(()))
            }
        }
    }

    /// The database executes what has arrived, whatever the senders do.
    fn serve(&mut self) {
        for n in 0..self.processes.len() {
            let holder = self.processes[n].replica.holder();
            let mut due: Vec<(Option<&'static str>, Ask)> = Vec::new();
            let process = &mut self.processes[n];
            let is_due = |pending: &Pending, t: i64| pending.executes.is_some_and(|at| at <= t);
            if let Some(pending) = process.leases.as_mut().filter(|pending| is_due(pending, self.t)) {
                pending.executes = None;
                due.push((None, pending.ask.clone()));
            }
            for (account, collector) in &mut process.collectors {
                if let Some(pending) = collector.pending.as_mut().filter(|pending| is_due(pending, self.t)) {
                    pending.executes = None;
                    due.push((Some(account), pending.ask.clone()));
                }
            }
            for (account, ask) in due {
                let answer = self.execute(holder, &ask);
                let process = &mut self.processes[n];
                let pending = match account {
                    None => process.leases.as_mut(),
                    Some(account) => process.collectors.get_mut(account).and_then(|c| c.pending.as_mut()),
                };
                if let Some(pending) = pending {
                    pending.answer = Some(answer);
                }
            }
        }
    }

    /// What a replica does that runs.
    fn act(&mut self, n: usize) {
        let now = self.processes[n].now(self.t);
        self.answer_leases(n, now);
        self.answer_commits(n);
        let process = &mut self.processes[n];
        if process.leases.is_none() {
            let ask = if self.t >= process.beat_at {
                process.beat_at = self.t + 5_000;
                Some(Ask::Beat(process.replica.held()))
            } else if let Some(account) = process.replica.surplus() {
                let account = name_of(&account);
                let grant = process.replica.grant(account).unwrap();
                process.collectors.remove(account);
                process.replica.drop_lease(account);
                Some(Ask::Release(account, grant))
            } else {
                process.replica.wanted().map(|account| Ask::Take(name_of(&account)))
            };
            if let Some(ask) = ask {
                let pending = self.pending(ask, now);
                self.processes[n].leases = Some(pending);
            }
        }
        self.collect(n, now);
    }

    fn answer_leases(&mut self, n: usize, now: Moment) {
        let process = &mut self.processes[n];
        let Some(pending) = process.leases.take_if(|pending| pending.answers <= self.t) else { return };
        let began = if COUNTED_FROM_ITS_BEGINNING { pending.began } else { now };
        match (pending.ask, pending.answer.filter(|_| !pending.is_lost)) {
            (Ask::Beat(_), Some(Answer::Beat(beat))) => {
                for account in process.replica.record_beat(began, beat) {
                    process.collectors.remove(name_of(&account));
                    self.record.fenced += 1;
                }
            }
            (Ask::Take(account), Some(Answer::Taken(Some(grant), row))) => {
                process.replica.record_take(account, grant, began);
                let collector = Collector {
                    grant,
                    sequence: Sequence::after(row.number),
                    value: row.value,
                    shown: row.value,
                    is_whole: false,
                    pending: None,
                };
                process.collectors.insert(account, collector);
            }
            (Ask::Take(account), Some(_)) => process.replica.record_missed_take(account),
            (Ask::Beat(_) | Ask::Take(_), None) => process.beat_at = self.t,
            _ => {}
        }
    }

    fn answer_commits(&mut self, n: usize) {
        let process = &mut self.processes[n];
        let mut fenced = Vec::new();
        for (account, collector) in &mut process.collectors {
            let Some(pending) = collector.pending.take_if(|pending| pending.answers <= self.t) else {
                continue;
            };
            let Ask::Commit { value, .. } = pending.ask else { continue };
            match pending.answer.filter(|_| !pending.is_lost) {
                Some(Answer::Committed(Ok(()))) => {
                    collector.sequence.acknowledge();
                    (collector.shown, collector.is_whole) = (value, false);
                }
                Some(Answer::Committed(Err(Some(stored)))) => match collector.sequence.judge(stored) {
                    Verdict::Lost => {
                        collector.is_whole = true;
                        self.record.lost += 1;
                    }
                    Verdict::Superseded => fenced.push(*account),
                },
                Some(Answer::Committed(Err(None))) => fenced.push(*account),
                _ => {}
            }
        }
        for account in fenced {
            process.collectors.remove(account);
            process.replica.drop_lease(account);
            self.record.fenced += 1;
        }
    }

    /// Reads and commits, while the leases can be relied on.
    fn collect(&mut self, n: usize, now: Moment) {
        let truth = self.truth();
        for account in ACCOUNTS {
            let process = &mut self.processes[n];
            if !process.replica.may_request(account, now) {
                continue;
            }
            let Some(collector) = process.collectors.get_mut(account) else { continue };
            collector.value = truth;
            if collector.pending.is_some() || (collector.value == collector.shown && !collector.is_whole) {
                continue;
            }
            let (number, between) = collector.sequence.send(collector.is_whole);
            let (grant, value) = (collector.grant, collector.value);
            let pending = self.pending(Ask::Commit { account, grant, number, between, value }, now);
            if let Some(collector) = self.processes[n].collectors.get_mut(account) {
                collector.pending = Some(pending);
            }
        }
    }

    /// What must hold now, whichever replica is paused. A database that went back in time can give a lease away that is relied on.
    fn check(&mut self) {
        let is_exempt = self.record.travelled_at.is_some_and(|at| self.t < at + TTL);
        for account in ACCOUNTS {
            let running = self.processes.iter().filter(|process| process.paused_until <= self.t);
            let (mut requesting, mut showing) = (0, Vec::new());
            for process in running {
                let now = process.now(self.t);
                let Some(collector) = process.collectors.get(account) else { continue };
                requesting += usize::from(process.replica.may_request(account, now));
                if process.replica.may_show(account, now) {
                    showing.push(collector.shown);
                }
            }
            if is_exempt {
                self.record.shown.remove(account);
                continue;
            }
            assert!(requesting <= 1, "t {}: {requesting} replicas may request for {account}", self.t);
            assert!(showing.len() <= 1, "t {}: {account} is on {} pages", self.t, showing.len());
            if self.record.unsettled.contains(account) {
                self.record.shown.remove(account);
            } else if let Some(value) = showing.first() {
                let before = self.record.shown.insert(account, *value).unwrap_or(0);
                assert!(
                    *value >= before,
                    "t {}: the page of {account} fell from {before} to {value}",
                    self.t
                );
            }
        }
    }

    fn live(mut self) -> Record {
        while self.t < LENGTH + QUIET {
            self.t += STEP;
            self.disturb();
            self.serve();
            for n in 0..self.processes.len() {
                if self.processes[n].paused_until <= self.t {
                    self.act(n);
                }
            }
            self.check();
        }
        for account in ACCOUNTS {
            let row = self.database.rows.get(account).copied().unwrap_or_default();
            assert_eq!(row.value, self.truth(), "{account} does not end with the truth");
            let showing =
                self.processes.iter().filter(|p| p.replica.may_show(account, p.now(self.t))).count();
            assert_eq!(showing, 1, "{account} is on {showing} pages in the end");
        }
        self.record
    }
}

#[test]
fn no_life_shows_an_account_twice_or_ends_without_the_truth() {
    let (mut takes, mut fenced, mut lost) = (0, 0, 0);
    for seed in 0..LIVES {
        let record = std::panic::catch_unwind(|| Life::new(seed).live());
        let record = record.unwrap_or_else(|_| panic!("seed {seed}: see above"));
        takes += record.takes;
        fenced += record.fenced;
        lost += record.lost;
    }
    assert!(takes > 5 * LIVES && fenced > LIVES && lost > 3, "{takes} takes, {fenced} fenced, {lost} lost");
}
