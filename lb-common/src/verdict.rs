//! Why a packet went where it went.

/// What became of a packet, and why. The program counts with it ([`crate::maps::VERDICTS`]), the daemon reports with
/// it, people read [`Verdict::explanation`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[must_use]
pub enum Verdict {
    /// Passed: not IPv4, IPv6 or ARP.
    PassNotIp = 0,
    /// Passed: the frame is for another link-layer address than ours, or for many.
    PassOtherHost,
    /// Passed: another director has sent it to this node, which is its real server.
    PassBalanced,
    /// Passed: addressed to none of our virtual addresses or services.
    PassNotOurs,
    /// Passed: to a virtual address of ours, but to no service there.
    PassNoService,
    /// Passed: this node is not the master of the address.
    PassNotMaster,
    /// Passed: of a connection whose real server is this node.
    PassLocal,
    /// Passed: a question for the link-layer address of a virtual address that this node may answer for.
    PassAnswer,
    /// Passed: a VRRP advertisement.
    PassAdvertisement,
    /// Dropped: headers end before the packet does, or contradict each other.
    DropMalformed,
    /// Dropped: a question for a virtual address that this node no longer answers for, or hands over.
    DropSilent,
    /// Dropped: the lease has run out, the daemon is dead or frozen and a successor is at work.
    DropLeaseExpired,
    /// Dropped: its sender is blocked.
    DropBlocked,
    /// Dropped: it goes on with no connection, and its sender may begin none.
    DropNotAllowed,
    /// Dropped: no real server in the schedule can take a connection at this moment.
    DropNoRealServer,
    /// Dropped: the real server's link-layer address is not known (yet).
    DropUnresolved,
    /// Dropped: RST or a stray segment of a connection that nobody remembers, which no reset may answer.
    DropStray,
    /// Dropped: the packet has no hop left, and is not one that an ICMP error may answer.
    DropHopLimit,
    /// Dropped: it is too long for the tunnel to its real server, and is not one that an ICMP error may answer.
    DropTooBig,
    /// Dropped: it asks for a reset or an ICMP error, and too many were sent within the last second.
    DropAnswerLimit,
    /// Answered with an ICMP error, time exceeded: the packet has no hop left.
    AnswerTimeExceeded,
    /// Answered with an ICMP error, packet too big or fragmentation needed: it is too long for the tunnel to its real
    /// server.
    AnswerTooBig,
    /// Answered with an ICMP error, port unreachable: the service has no real server that could take a connection.
    AnswerUnreachable,
    /// Answered with a TCP reset: a segment of a connection that nobody remembers.
    ResetUnknownFlow,
    /// Answered with a TCP reset: the real server of the connection is gone.
    ResetRealServerGone,
    /// Forwarded: a connection that was known.
    ForwardFlow,
    /// Forwarded: a connection that was scheduled with this packet.
    ForwardNew,
    /// Forwarded: a connection whose real server is gone, scheduled anew with this packet.
    ForwardRescheduled,
    /// Forwarded: a packet of a connection that nobody remembers, to the real server that a hash names.
    ForwardPlaced,
    /// Forwarded: an ICMP error about one of our connections, to the real server that needs it.
    ForwardIcmpError,
    /// Forwarded: a fragment, to the real server of its first fragment.
    ForwardFragment,
    /// Dropped: a fragment whose first fragment has not been seen.
    DropFragment,
    /// Dropped: the real server of the connection is down, and connections wait for theirs.
    DropRealServerDown,
}

impl Verdict {
    /// All verdicts, in the order of their numbers.
    pub const ALL: [Self; 33] = [
        Self::PassNotIp,
        Self::PassOtherHost,
        Self::PassBalanced,
        Self::PassNotOurs,
        Self::PassNoService,
        Self::PassNotMaster,
        Self::PassLocal,
        Self::PassAnswer,
        Self::PassAdvertisement,
        Self::DropMalformed,
        Self::DropSilent,
        Self::DropLeaseExpired,
        Self::DropBlocked,
        Self::DropNotAllowed,
        Self::DropNoRealServer,
        Self::DropUnresolved,
        Self::DropStray,
        Self::DropHopLimit,
        Self::DropTooBig,
        Self::DropAnswerLimit,
        Self::AnswerTimeExceeded,
        Self::AnswerTooBig,
        Self::AnswerUnreachable,
        Self::ResetUnknownFlow,
        Self::ResetRealServerGone,
        Self::ForwardFlow,
        Self::ForwardNew,
        Self::ForwardRescheduled,
        Self::ForwardPlaced,
        Self::ForwardIcmpError,
        Self::ForwardFragment,
        Self::DropFragment,
        Self::DropRealServerDown,
    ];

    /// How many verdicts there are: the slots of [`crate::maps::VERDICTS`].
    pub const COUNT: u32 = Self::ALL.len() as u32;

    /// The name that metrics and JSON use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PassNotIp => "pass_not_ip",
            Self::PassOtherHost => "pass_other_host",
            Self::PassBalanced => "pass_balanced",
            Self::PassNotOurs => "pass_not_ours",
            Self::PassNoService => "pass_no_service",
            Self::PassNotMaster => "pass_not_master",
            Self::PassLocal => "pass_local",
            Self::PassAnswer => "pass_answer",
            Self::PassAdvertisement => "pass_advertisement",
            Self::DropMalformed => "drop_malformed",
            Self::DropSilent => "drop_silent",
            Self::DropLeaseExpired => "drop_lease_expired",
            Self::DropBlocked => "drop_blocked",
            Self::DropNotAllowed => "drop_not_allowed",
            Self::DropNoRealServer => "drop_no_real_server",
            Self::DropUnresolved => "drop_unresolved",
            Self::DropStray => "drop_stray",
            Self::DropHopLimit => "drop_hop_limit",
            Self::DropTooBig => "drop_too_big",
            Self::DropAnswerLimit => "drop_answer_limit",
            Self::AnswerTimeExceeded => "answer_time_exceeded",
            Self::AnswerTooBig => "answer_too_big",
            Self::AnswerUnreachable => "answer_unreachable",
            Self::ResetUnknownFlow => "reset_unknown_flow",
            Self::ResetRealServerGone => "reset_real_server_gone",
            Self::ForwardFlow => "forward_flow",
            Self::ForwardNew => "forward_new",
            Self::ForwardRescheduled => "forward_rescheduled",
            Self::ForwardPlaced => "forward_placed",
            Self::ForwardIcmpError => "forward_icmp_error",
            Self::ForwardFragment => "forward_fragment",
            Self::DropFragment => "drop_fragment",
            Self::DropRealServerDown => "drop_real_server_down",
        }
    }

    /// One sentence for people.
    #[must_use]
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::PassNotIp => "not IPv4, IPv6 or ARP",
            Self::PassOtherHost => "the frame is for another link-layer address",
            Self::PassBalanced => "another director has sent it to this node, which is its real server",
            Self::PassNotOurs => "to none of our virtual addresses or services",
            Self::PassNoService => "to a virtual address, but to no service there",
            Self::PassNotMaster => "this node is not the master of the address",
            Self::PassLocal => "of a connection whose real server is this node",
            Self::PassAnswer => "a question for a virtual address that the kernel answers",
            Self::PassAdvertisement => "a VRRP advertisement",
            Self::DropMalformed => "malformed or truncated headers",
            Self::DropSilent => "a question for a virtual address that another node answers",
            Self::DropLeaseExpired => "the lease of the virtual address has run out",
            Self::DropBlocked => "its sender is blocked",
            Self::DropNotAllowed => "its sender may begin no connection",
            Self::DropNoRealServer => "no scheduled real server can take the connection",
            Self::DropUnresolved => "the real server's link-layer address is unknown",
            Self::DropStray => "a stray segment that no reset may answer",
            Self::DropHopLimit => "no hop left",
            Self::DropTooBig => "too long for the tunnel to its real server",
            Self::DropAnswerLimit => "too many resets and ICMP errors within a second",
            Self::AnswerTimeExceeded => "no hop left, answered with an ICMP error",
            Self::AnswerTooBig => "too long for the tunnel to its real server, answered with an ICMP error",
            Self::AnswerUnreachable => "the service has no real server, answered with an ICMP error",
            Self::ResetUnknownFlow => "a segment of an unknown connection, answered with a reset",
            Self::ResetRealServerGone => "the connection's real server is gone, answered with a reset",
            Self::ForwardFlow => "a known connection",
            Self::ForwardNew => "a new connection",
            Self::ForwardRescheduled => "a connection moved from a real server that is gone",
            Self::ForwardPlaced => "a connection that nobody remembers, placed by a hash",
            Self::ForwardIcmpError => "an ICMP error about a connection",
            Self::ForwardFragment => "a fragment, after its first one",
            Self::DropFragment => "a fragment without its first one",
            Self::DropRealServerDown => "the connection's real server is down, and is waited for",
        }
    }
}

const _: () = {
    let mut index = 0;
    while index < Verdict::ALL.len() {
        assert!(Verdict::ALL[index] as usize == index);
        index += 1;
    }
};
