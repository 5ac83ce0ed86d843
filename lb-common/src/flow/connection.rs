//! What identifies a connection, and its keyed hash.
#![allow(
    unsafe_code,
    reason = "a connection is hashed as the words that it is in memory"
)]

use core::ptr;

use crate::placement;

/// The key of [`Connection::hash`], drawn at random when the table is made: who does not know it cannot aim at a
/// bucket.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowSecret {
    /// Random numbers: two for each pair of words of the longest connection.
    pub words: [u32; 2 * PAIRS],
}

/// How many pairs of 32-bit words an IPv6 connection has.
const PAIRS: usize = 5;

const _: () = assert!(size_of::<FlowSecret>() == 40);

/// A connection, whose addresses have `N` bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey<const N: usize> {
    /// The client's address, in network order.
    pub client_address: [u8; N],
    /// The virtual IP address, in network order.
    pub virtual_address: [u8; N],
    /// The client's port, in host order.
    pub client_port: u16,
    /// The virtual service's port, in host order.
    pub virtual_port: u16,
    /// One of [`crate::protocol`]: TCP, UDP or SCTP.
    pub protocol: u32,
}

/// A connection over IPv4.
pub type FlowKey4 = FlowKey<4>;
/// A connection over IPv6.
pub type FlowKey6 = FlowKey<16>;

const _: () = assert!(size_of::<FlowKey4>() == 16);
const _: () = assert!(size_of::<FlowKey6>() == size_of::<FlowSecret>());

impl<const N: usize> Default for FlowKey<N> {
    #[inline(always)]
    fn default() -> Self {
        Self {
            client_address: [0; N],
            virtual_address: [0; N],
            client_port: 0,
            virtual_port: 0,
            protocol: 0,
        }
    }
}

/// What the table of flows knows a connection by.
pub trait Connection {
    /// The hash of the connection under `secret`, all of whose bits depend on all of both.
    ///
    /// It is the universal hash NH (Black, Halevi, Krawczyk, Krovetz and Rogaway, "UMAC: fast and secure message
    /// authentication", 1999), followed by a permutation that spreads what it yields: of any two connections that
    /// somebody names who does not know the secret, the chance that NH yields the same for both is 2^-32. It is no
    /// cryptographic hash: who could see many of its values could learn the secret, but nobody is shown one. SipHash,
    /// which is, takes three times as long in a program of the kernel, whose instructions do not rotate.
    fn hash(&self, secret: &FlowSecret) -> u64;

    /// The connection with nothing left of it but what decides where it is placed: see [`placement`](mod@placement).
    #[must_use]
    fn placed_by(&self, placement: u32) -> Self;

    /// Where in its schedule a connection is placed by a hash, modulo the length: the same on all directors.
    #[inline(always)]
    fn place(&self, placement: u32) -> u64
    where
        Self: Sized,
    {
        self.placed_by(placement).hash(&PLACEMENT_KEY)
    }
}

/// What connections are placed with. No secret: all directors, of any release, place a client alike. (The digits of pi
/// after the first ten words of its fraction, as Blowfish has them.)
pub const PLACEMENT_KEY: FlowSecret = FlowSecret {
    words: [
        0xbe54_66cf,
        0x34e9_0c6c,
        0xc0ac_29b7,
        0xc97c_50dd,
        0x3f84_d5b5,
        0xb547_0917,
        0x9216_d5d9,
        0x8979_fb1b,
        0xd131_0ba6,
        0x98df_b5ac,
    ],
};

impl<const N: usize> Connection for FlowKey<N> {
    #[inline(always)]
    fn hash(&self, secret: &FlowSecret) -> u64 {
        let key = &secret.words;
        let mut sum = 0_u64;
        for pair in 0..size_of::<Self>() / size_of::<[u32; 2]>() {
            // SAFETY: within the key, which is aligned for that; it has no padding, and any bytes are valid numbers.
            let [a, b] = unsafe { ptr::from_ref(self).cast::<[u32; 2]>().add(pair).read() };
            sum = sum.wrapping_add(product(a, key[2 * pair], b, key[2 * pair + 1]));
        }
        spread(sum)
    }

    #[inline(always)]
    fn placed_by(&self, placement: u32) -> Self {
        let address = if placement == placement::DESTINATION {
            self.virtual_address
        } else {
            self.client_address
        };
        let port = if placement == placement::SOURCE_AND_PORT {
            self.client_port
        } else {
            0
        };
        Self {
            client_address: address,
            client_port: port,
            ..Self::default()
        }
    }
}

/// NH of one pair of words.
#[inline(always)]
const fn product(a: u32, key_a: u32, b: u32, key_b: u32) -> u64 {
    a.wrapping_add(key_a) as u64 * b.wrapping_add(key_b) as u64
}

/// A permutation in which all bits depend on all: MurmurHash3's finalizer (Appleby, 2011) with the constants of
/// Stafford, "Better bit mixing", 2011, mix 13.
#[must_use]
#[inline(always)]
pub const fn spread(mut number: u64) -> u64 {
    number ^= number >> 30;
    number = number.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number ^= number >> 27;
    number = number.wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: FlowSecret = FlowSecret {
        words: [
            0x243f_6a88,
            0x85a3_08d3,
            0x1319_8a2e,
            0x0370_7344,
            0xa409_3822,
            0x299f_31d0,
            0x082e_fa98,
            0xec4e_6c89,
            0x4528_21e6,
            0x38d0_1377,
        ],
    };

    fn key4() -> FlowKey4 {
        FlowKey4 {
            client_address: [198, 51, 100, 7],
            virtual_address: [10, 0, 0, 100],
            client_port: 40_000,
            virtual_port: 80,
            protocol: 6,
        }
    }

    fn key6() -> FlowKey6 {
        FlowKey6 {
            client_address: [1; 16],
            virtual_address: [2; 16],
            client_port: 3,
            virtual_port: 4,
            protocol: 6,
        }
    }

    /// How many of the 64 bits change, on average over all changes of one bit.
    fn avalanche(hashes: impl Iterator<Item = u64>, hash: u64) {
        let changed: [u32; 2] = hashes
            .map(|other| (other ^ hash).count_ones())
            .inspect(|bits| assert!((10..=54).contains(bits), "{bits} bits changed"))
            .fold([0, 0], |[sum, count], bits| [sum + bits, count + 1]);
        let mean = f64::from(changed[0]) / f64::from(changed[1]);
        assert!((30.0..34.0).contains(&mean), "{mean} bits");
    }

    #[test]
    fn each_bit_of_a_connection_and_of_the_secret_changes_half_of_the_hash() {
        let hash = key4().hash(&SECRET);
        let clients = (0..32).map(|bit| {
            let client_address = (u32::from_ne_bytes(key4().client_address) ^ 1 << bit).to_ne_bytes();
            FlowKey4 {
                client_address,
                ..key4()
            }
            .hash(&SECRET)
        });
        let ports = (0..16).map(|bit| {
            FlowKey4 {
                client_port: 40_000 ^ 1 << bit,
                ..key4()
            }
            .hash(&SECRET)
        });
        avalanche(clients.chain(ports), hash);
        let hash = key6().hash(&SECRET);
        let clients = (0..128).map(|bit| {
            let mut key = key6();
            key.client_address[bit / 8] ^= 1 << (bit % 8);
            key.hash(&SECRET)
        });
        let secrets = (0..320).map(|bit| {
            let mut secret = SECRET;
            secret.words[bit / 32] ^= 1 << (bit % 32);
            key6().hash(&secret)
        });
        avalanche(clients.chain(secrets), hash);
    }

    /// Sixteen thousand clients that follow each other, in as many buckets: as many as chance would leave empty.
    #[test]
    fn connections_that_are_alike_are_spread() {
        const BUCKETS: usize = 1 << 14;
        let mut used = [false; BUCKETS];
        for number in 0..BUCKETS as u32 {
            let key = FlowKey4 {
                client_address: [10, 9, (number >> 14) as u8, 1],
                client_port: number as u16 & 0x3fff,
                ..key4()
            };
            used[key.hash(&SECRET) as usize % BUCKETS] = true;
        }
        let share = used.iter().filter(|used| **used).count() as f64 / BUCKETS as f64;
        assert!((0.61..0.65).contains(&share), "{share}");
    }

    /// A daemon finds the flows of its predecessor.
    #[test]
    fn the_hash_stays_the_same_from_release_to_release() {
        assert_eq!(key4().hash(&SECRET), 0x0329_d3e0_6c2e_777d);
        assert_eq!(key6().hash(&SECRET), 0x7d70_cd37_622a_02b1);
    }

    #[test]
    fn a_connection_is_placed_by_what_its_service_says_and_by_nothing_else() {
        let other_port = FlowKey4 {
            client_port: 40_001,
            ..key4()
        };
        let other_client = FlowKey4 {
            client_address: [198, 51, 100, 8],
            ..key4()
        };
        let other_service = FlowKey4 {
            virtual_address: [10, 0, 0, 101],
            virtual_port: 443,
            protocol: 17,
            ..key4()
        };
        for (placement, differs) in [
            (placement::SOURCE, [false, true, false]),
            (placement::SOURCE_AND_PORT, [true, true, false]),
            (placement::DESTINATION, [false, false, true]),
        ] {
            let place = key4().place(placement);
            let others = [other_port, other_client, other_service];
            assert_eq!(
                others.map(|key| key.place(placement) != place),
                differs,
                "{placement}"
            );
        }
    }

    /// Directors of two releases place a client alike.
    #[test]
    fn places_stay_the_same_from_release_to_release() {
        let all = [
            placement::SOURCE,
            placement::SOURCE_AND_PORT,
            placement::DESTINATION,
        ];
        let places = all.map(|placement| key4().place(placement));
        assert_eq!(
            places,
            [
                0x22fb_a0df_69d7_4c22,
                0xb800_99a6_6288_de52,
                0x4a62_b9a2_2728_5e63
            ]
        );
        let places = all.map(|placement| key6().place(placement));
        assert_eq!(
            places,
            [
                0xd7d8_739a_90c8_28cc,
                0x997f_6f37_24e6_bd95,
                0xc3f6_33c7_49a8_5330
            ]
        );
    }

    /// As even as chance: ten thousand neighbours on ten positions, chi squared with nine degrees of freedom.
    #[test]
    fn clients_that_are_alike_are_placed_evenly() {
        let mut counts = [0_u32; 10];
        for number in 0..10_000_u16 {
            let [high, low] = number.to_be_bytes();
            let key = FlowKey4 {
                client_address: [10, 9, high, low],
                ..key4()
            };
            counts[(key.place(placement::SOURCE) % 10) as usize] += 1;
        }
        let squares = counts.map(|count| f64::from((i64::from(count) - 1_000).pow(2) as u32) / 1_000.0);
        let chi_squared: f64 = squares.iter().sum();
        assert!(chi_squared < 27.9, "{counts:?}: one in a thousand is worse");
    }
}
