//! What lbd is to cost, compared with the other programs of the same run.

use crate::cells::{FEW, MANY, Row, services};
use crate::measure::Figures;
use crate::pair::Gain;
use crate::plane::Program::{self, Lbd, Stateless, Swap, Track, Tracked};

/// A comparison.
pub(crate) struct Comparison {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) target: Target,
}

/// What it should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It is only told.
    None,
}

impl Comparison {
    /// Whether it is what it should be.
    pub(crate) fn is_met(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(limit) => Some(self.value <= limit),
            Target::AtLeast(limit) => Some(self.value >= limit),
            Target::None => None,
        }
    }
}

/// All of them.
pub(crate) fn compare(figures: &Figures, gains: &[Gain]) -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    let mut add = |what: &str, value: Option<f64>, target| {
        if let Some(value) = value {
            let what = what.to_owned();
            comparisons.push(Comparison { what, value, target });
        }
    };
    let net = |row, program| figures.net(row, program).map(|net| net as f64);
    let ratio = |row, other: Program, of| Some(net(row, Lbd)? / net(of, other)?);
    let same = |row, other| ratio(row, other, row);
    let (one, few, many) = (Row::Established(1), Row::Established(FEW), Row::Established(MANY));
    add(
        "established, 1 flow: lbd to M",
        same(one, Tracked),
        Target::AtMost(0.75),
    );
    add("established, 1 flow: lbd to F1", same(one, Track), Target::None);
    add(
        "established, 1 flow: lbd to S",
        same(one, Stateless),
        Target::None,
    );
    add(
        "established, 4 000 flows: lbd to M",
        same(few, Tracked),
        Target::None,
    );
    add(
        "established, 4 000 flows: lbd to F1",
        same(few, Track),
        Target::None,
    );
    add(
        "established, 1 M flows: lbd to M",
        same(many, Tracked),
        Target::AtMost(0.5),
    );
    add(
        "established, 1 M flows: lbd to F1",
        same(many, Track),
        Target::AtMost(1.0),
    );
    add(
        "established, 1 M flows: lbd to S",
        same(many, Stateless),
        Target::None,
    );
    let longer = net(Row::Ipv6, Lbd)
        .zip(net(one, Lbd))
        .map(|(ipv6, ipv4)| ipv6 - ipv4);
    add("IPv6 less IPv4, 1 flow, ns", longer, Target::AtMost(5.0));
    add("new flow: lbd to M", same(Row::New, Tracked), Target::AtMost(0.5));
    let names = ratio(Row::New, Lbd, Row::Nameless);
    add("new flow: with names to without", names, Target::AtMost(1.25));
    let flood = ratio(Row::Flood, Tracked, Row::New);
    add("new flow, half full: lbd to M's new flow", flood, Target::None);
    add(
        "not a virtual address: lbd to M",
        same(Row::NotVirtual, Tracked),
        Target::AtMost(1.25),
    );
    let count = services();
    let (all, single) = (Row::Services(count), Row::OneService(count));
    let what = format!("{count} services to 1, as many flows: lbd");
    add(&what, ratio(all, Lbd, single), Target::AtMost(1.25));
    let others = net(all, Tracked).zip(net(single, Tracked));
    let what = format!("{count} services to 1, as many flows: M");
    add(&what, others.map(|(all, single)| all / single), Target::None);
    let what = format!("{count} services to 1, new flows: lbd");
    add(
        &what,
        ratio(Row::NewOfServices(count), Lbd, Row::New),
        Target::None,
    );
    let gain = |row: Option<Row>, program| {
        let mut gains = gains.iter();
        let gain = gains.find(|gain| gain.program == program && row.is_none_or(|row| gain.row == row));
        gain.map(|gain| gain.gain)
    };
    for (row, target) in [
        (few, Target::AtLeast(0.9)),
        (many, Target::AtLeast(0.9)),
        (Row::New, Target::None),
    ] {
        for (program, target) in [(Lbd, target), (Tracked, Target::None)] {
            let share = gain(Some(row), program).zip(gain(None, Swap));
            let what = format!("gain by a second CPU, {}: {} to F0", row.name(), program.name());
            add(&what, share.map(|(gain, floor)| gain / floor), target);
        }
    }
    comparisons
}
