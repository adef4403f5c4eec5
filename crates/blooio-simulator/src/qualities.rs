//! What a new message is like: drawn from the shares of a setup, always in the same order, so that a seed gives the same world.

use super::knobs::{Era, InboundDelivered, InboundStatus, Knobs};
use super::message::{ERRORS, Fate, Odd, Protocol, Route, Status, extra};
use super::setup::Shares;
use super::source::chance;

pub(super) fn extras(rng: &mut fastrand::Rng, shares: &Shares, knobs: &Knobs) -> u16 {
    let few = rng.u8(..) & rng.u8(..) & rng.u8(..);
    let mut extras = u16::from(few) & (extra::ATTACHMENT | extra::REPLY | extra::REACTION);
    if extras & extra::ATTACHMENT != 0 && rng.bool() {
        extras |= extra::NO_TEXT;
    }
    for (share, what) in [
        (shares.no_line, extra::NO_LINE),
        (shares.negative_latency, extra::NEGATIVE),
        (shares.regress, extra::REGRESSES),
        (shares.read, extra::READ),
        (shares.lone_surrogate, extra::SURROGATE),
        (shares.huge_number, extra::HUGE),
    ] {
        if chance(rng, share) {
            extras |= what;
        }
    }
    if knobs.era == Era::Legacy || knobs.era == Era::Mixed && rng.bool() {
        extras |= extra::LEGACY;
    }
    extras
}

pub(super) fn odd(rng: &mut fastrand::Rng, shares: &Shares) -> Odd {
    if chance(rng, shares.unusable) {
        [Odd::NoId, Odd::NoDirection, Odd::NoTime, Odd::NotARow][rng.usize(0..4)]
    } else if chance(rng, shares.odd) {
        [Odd::ProtocolName, Odd::ProtocolMissing, Odd::StatusName, Odd::NoTimeDelivered][rng.usize(0..4)]
    } else {
        Odd::No
    }
}

/// What changes the route of a message beside the shares: faults of its line, and its contact.
pub(super) struct Pulls {
    pub(super) all_fallback: Option<f64>,
    pub(super) imessage_share: Option<f64>,
    pub(super) is_android: Option<bool>,
}

pub(super) fn route(rng: &mut fastrand::Rng, shares: &Shares, inbound: bool, pulls: Pulls) -> Route {
    let draw = rng.f64();
    let falls_back = match pulls.all_fallback {
        Some(share) => chance(rng, share),
        None => draw < shares.fallback,
    };
    let route = if !inbound && falls_back {
        Route::Fallback(if rng.u8(0..4) == 0 { Protocol::Rcs } else { Protocol::Sms })
    } else if !inbound && draw < shares.fallback + shares.unresolved {
        Route::Unresolved
    } else if let Some(is_android) = pulls.is_android {
        if is_android { Route::Sms } else { Route::Imessage }
    } else if draw < shares.fallback + shares.unresolved + shares.sms {
        Route::Sms
    } else if draw < shares.fallback + shares.unresolved + shares.sms + shares.rcs {
        Route::Rcs
    } else {
        Route::Imessage
    };
    match pulls.imessage_share {
        Some(share) if !inbound && route == Route::Imessage && !chance(rng, share) => {
            Route::Fallback(Protocol::Sms)
        }
        _ => route,
    }
}

/// How it ends, and the number of its error text where it fails.
pub(super) fn fate(
    rng: &mut fastrand::Rng,
    shares: &Shares,
    route: Route,
    all_fail: Option<f64>,
) -> (Fate, u8) {
    let draw = rng.f64();
    let fails = match all_fail {
        Some(share) => chance(rng, share),
        None => draw < shares.failed,
    };
    let by_sms = matches!(route, Route::Sms | Route::Fallback(Protocol::Sms));
    let fate = if fails {
        if rng.bool() { Fate::FailsInQueue } else { Fate::FailsAfterSending }
    } else if draw >= shares.failed && draw < shares.failed + shares.cancelled {
        if chance(rng, shares.cancelled_too_late) { Fate::CancelledTooLate } else { Fate::Cancelled }
    } else if route == Route::Unresolved || by_sms && chance(rng, shares.sms_stay_sent) {
        Fate::StaysSent
    } else {
        Fate::Delivered
    };
    (fate, if fails { rng.usize(0..ERRORS.len()) as u8 } else { 0 })
}

/// Its `time_sent`, and when the API shows it.
pub(super) fn times(rng: &mut fastrand::Rng, shares: &Shares, knobs: &Knobs, at: i64) -> (i64, i64) {
    let (mut time_sent, mut visible_from) = (at, at);
    if chance(rng, shares.late) {
        let (least, most) = shares.late_ms;
        visible_from = at + rng.i64(least..=most.max(least));
    } else if chance(rng, shares.future) {
        time_sent = at + rng.i64(60_000..86_400_000);
    } else if chance(rng, shares.far_future) {
        time_sent = at + rng.i64(400..4_000) * 86_400_000;
    }
    if knobs.time_grain_ms > 1 {
        time_sent -= time_sent.rem_euclid(knobs.time_grain_ms);
    }
    (time_sent, visible_from)
}

/// What the API shows as status and time of delivery of a message from a contact.
pub(super) fn inbound(rng: &mut fastrand::Rng, knobs: &Knobs, time_sent: i64) -> (Status, Option<i64>) {
    let status = match knobs.inbound_status {
        InboundStatus::Null => Status::Null,
        InboundStatus::Delivered => Status::Delivered,
        InboundStatus::Received => Status::Received,
        InboundStatus::Mixed => [Status::Null, Status::Delivered, Status::Received][rng.usize(0..3)],
    };
    let delivered = match knobs.inbound_delivered {
        InboundDelivered::Null => None,
        InboundDelivered::Same => Some(time_sent),
        InboundDelivered::Later => Some(time_sent + rng.i64(1_000..3_000)),
    };
    (status, delivered)
}
