//! The filter in front of the virtual addresses.

use std::collections::{HashMap, HashSet};

use aya::maps::Map;
use lb_common::{Address, maps};

use super::Error;
use super::mapped::{MappedArray, mapped};

/// A bit for every virtual address, mapped into this process. It follows from the map of the addresses, and is written
/// beside it: an address has its bit before it is there, and for as long.
pub(super) struct AddressFilter {
    words: MappedArray<u64>,
    /// The addresses of each bit that is set.
    owners: HashMap<u32, HashSet<Address>>,
}

impl AddressFilter {
    /// The filter of these addresses, whatever a predecessor has left in it.
    pub(super) fn open(map: &Map, addresses: Vec<Address>) -> Result<Self, Error> {
        let mut filter = Self {
            words: mapped(map, maps::ADDRESS_FILTER)?,
            owners: HashMap::new(),
        };
        let mut wanted = vec![0_u64; filter.words.length() as usize];
        for address in addresses {
            let (word, bit) = place(address);
            wanted[word as usize] |= bit;
            filter.own(address);
        }
        for (word, bits) in (0..).zip(wanted) {
            filter.words.set(word, bits);
        }
        Ok(filter)
    }

    /// An address is about to be there.
    pub(super) fn add(&mut self, address: Address) {
        self.own(address);
        let (word, bit) = place(address);
        self.words.set(word, self.words.get(word) | bit);
    }

    /// An address is not there any more.
    pub(super) fn remove(&mut self, address: Address) {
        let number = address.filter_bit();
        let others = self.owners.get_mut(&number).map(|owners| {
            owners.remove(&address);
            owners.len()
        });
        if others == Some(0) {
            self.owners.remove(&number);
            let (word, bit) = place(address);
            self.words.set(word, self.words.get(word) & !bit);
        }
    }

    fn own(&mut self, address: Address) {
        self.owners
            .entry(address.filter_bit())
            .or_default()
            .insert(address);
    }
}

/// The word of an address's bit, and the bit there.
const fn place(address: Address) -> (u32, u64) {
    let number = address.filter_bit();
    (number / u64::BITS, 1 << (number % u64::BITS))
}
