//! The ports of a virtual service.

use std::fmt;

/// One port, a range of them, or every port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    /// Every port: IPVS's port 0.
    pub const ALL: Self = Self {
        first: 0,
        last: u16::MAX,
    };

    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// The ports from `first` to `last`, both included; nothing if there is none.
    #[must_use]
    pub const fn range(first: u16, last: u16) -> Option<Self> {
        if first <= last {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// The lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// The port, if it is only one.
    #[must_use]
    pub const fn only(self) -> Option<u16> {
        if self.first == self.last {
            Some(self.first)
        } else {
            None
        }
    }

    /// How many there are, less one.
    #[must_use]
    pub const fn width(self) -> u16 {
        self.last - self.first
    }

    /// Whether a packet to one of the ports could be for either, and neither is a part of the other: nobody could say
    /// whose it is.
    #[must_use]
    pub const fn crosses(self, other: Self) -> bool {
        let apart = self.last < other.first || other.last < self.first;
        !apart && !self.contains(other) && !other.contains(self)
    }

    const fn contains(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The ports in blocks that begin with the same bits, as few as possible: the first port of each, and how many bits
    /// that is.
    pub fn blocks(self) -> impl Iterator<Item = (u16, u32)> {
        let mut next = Some(u32::from(self.first));
        let last = u32::from(self.last);
        std::iter::from_fn(move || {
            let first = next?;
            let aligned = if first == 0 {
                u16::BITS
            } else {
                first.trailing_zeros()
            };
            let fits = (last - first + 1).ilog2();
            let free_bits = aligned.min(fits);
            let end = first + (1 << free_bits);
            next = (end <= last).then_some(end);
            let first = u16::try_from(first).expect("a port");
            Some((first, u16::BITS - free_bits))
        })
    }
}

/// As the configuration has it: `80`, `8000-8100`, and `0` for every port.
impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return formatter.write_str("0");
        }
        match self.only() {
            Some(port) => write!(formatter, "{port}"),
            None => write!(formatter, "{}-{}", self.first, self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(first: u16, last: u16) -> Ports {
        Ports::range(first, last).expect("the first is not after the last")
    }

    #[test]
    fn blocks_are_as_few_as_can_be() {
        let blocks = |ports: Ports| ports.blocks().collect::<Vec<_>>();
        assert_eq!(blocks(Ports::one(80)), [(80, 16)]);
        assert_eq!(blocks(Ports::ALL), [(0, 0)]);
        assert_eq!(blocks(range(8_000, 8_063)), [(8_000, 10)]);
        assert_eq!(
            blocks(range(8_000, 8_100)),
            [(8_000, 10), (8_064, 11), (8_096, 14), (8_100, 16)]
        );
        assert_eq!(blocks(range(1, u16::MAX)).len(), 16);
        assert_eq!(blocks(range(1, u16::MAX - 1)).len(), 30);
    }

    #[test]
    fn ranges_cross_that_share_ports_and_have_others() {
        for (one, other, cross) in [
            (range(1, 5), range(4, 8), true),
            (range(1, 5), range(5, 8), true),
            (range(1, 5), range(6, 8), false),
            (range(1, 5), range(2, 5), false),
            (range(1, 5), range(1, 5), false),
            (Ports::ALL, Ports::one(80), false),
        ] {
            assert_eq!(
                (one.crosses(other), other.crosses(one)),
                (cross, cross),
                "{one}, {other}"
            );
        }
    }

    proptest! {
        #[test]
        fn blocks_are_the_ports_and_no_others(first: u16, last: u16, port: u16) {
            let ports = range(first.min(last), first.max(last));
            let count = ports.blocks().filter(|(block, bits)| {
                let mask = !(u32::from(u16::MAX) >> bits);
                u32::from(port) & mask == u32::from(*block)
            }).count();
            let is_one = ports.first() <= port && port <= ports.last();
            prop_assert_eq!(count, usize::from(is_one));
        }
    }
}
