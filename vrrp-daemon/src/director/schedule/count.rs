//! Those that the program chooses among by how many connections they have.

use std::cmp::Reverse;

/// The numbers of the members that have a share (pairs of both), each once, in their order: of equals the first is
/// chosen.
pub(super) fn candidates(members: &[(u32, u16)]) -> Vec<u32> {
    let serving = members.iter().filter(|(_, share)| *share > 0);
    serving.map(|(number, _)| *number).collect()
}

/// The same in the order of their shares, the largest first: where there are more than the program compares, it compares
/// those.
pub(super) fn candidates_by_weight(members: &[(u32, u16)]) -> Vec<u32> {
    let mut members = members.to_vec();
    members.sort_by_key(|(_, share)| Reverse(*share));
    candidates(&members)
}
