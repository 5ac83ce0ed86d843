//! Packets, byte for byte: what clients, routers and peers send to a director.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    EtherType, IpFragOffset, IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, TcpHeader, UdpHeader,
};

/// The link-layer address of the client, or of the router that it is behind.
pub const GATEWAY_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The link-layer address that packets for the virtual address are sent to.
pub const DIRECTOR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// EtherType of an 802.1Q tag.
pub const CUSTOMER_TAG: u16 = 0x8100;
/// EtherType of an 802.1ad tag.
pub const SERVICE_TAG: u16 = 0x88a8;

/// TCP flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Opens.
    pub syn: bool,
    /// Acknowledges.
    pub ack: bool,
    /// Closes.
    pub fin: bool,
    /// Aborts.
    pub rst: bool,
}

/// No flags at all.
pub const NONE: Flags = Flags {
    syn: false,
    ack: false,
    fin: false,
    rst: false,
};
/// The first segment of a connection.
pub const SYN: Flags = Flags { syn: true, ..NONE };
/// Any segment of an open connection.
pub const ACK: Flags = Flags { ack: true, ..NONE };
/// The last segment with data.
pub const FIN_ACK: Flags = Flags {
    fin: true,
    ack: true,
    ..NONE
};
/// An abort.
pub const RST: Flags = Flags { rst: true, ..NONE };
/// What only servers send.
pub const SYN_ACK: Flags = Flags {
    syn: true,
    ack: true,
    ..NONE
};

#[derive(Clone, Debug)]
enum Transport {
    Tcp(Flags, u32, u32),
    Udp,
    /// A protocol's number, and its bytes.
    Other(u8, Vec<u8>),
}

/// A packet to be: [`Packet::build`] makes the frame.
#[derive(Clone, Debug)]
pub struct Packet {
    source: SocketAddr,
    destination: SocketAddr,
    transport: Transport,
    payload: Vec<u8>,
    tags: Vec<(u16, u16)>,
    options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    hop_limit: u8,
    fragment: Option<(u16, bool, u32)>,
    padding: usize,
}

impl Packet {
    fn new(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Self {
        Self {
            source,
            destination,
            transport,
            payload: Vec::new(),
            tags: Vec::new(),
            options: Vec::new(),
            extensions: Vec::new(),
            hop_limit: 63,
            fragment: None,
            padding: 0,
        }
    }

    /// A TCP segment.
    #[must_use]
    pub fn tcp(source: SocketAddr, destination: SocketAddr, flags: Flags) -> Self {
        Self::new(source, destination, Transport::Tcp(flags, 1000, 2000))
    }

    /// A UDP datagram.
    #[must_use]
    pub fn udp(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::new(source, destination, Transport::Udp)
    }

    /// An IP packet of another protocol, with everything after the IP header.
    #[must_use]
    pub fn other(source: IpAddr, destination: IpAddr, protocol: u8, bytes: Vec<u8>) -> Self {
        Self::new(
            SocketAddr::new(source, 0),
            SocketAddr::new(destination, 0),
            Transport::Other(protocol, bytes),
        )
    }

    /// With these TCP sequence and acknowledgement numbers.
    #[must_use]
    pub fn numbered(mut self, sequence: u32, acknowledgement: u32) -> Self {
        if let Transport::Tcp(_, of_sequence, of_acknowledgement) = &mut self.transport {
            *of_sequence = sequence;
            *of_acknowledgement = acknowledgement;
        }
        self
    }

    /// With this data.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// With one more VLAN tag, inside those that are there.
    #[must_use]
    pub fn tagged(mut self, ether_type: u16, vlan: u16) -> Self {
        self.tags.push((ether_type, vlan));
        self
    }

    /// With IPv4 options: a multiple of four bytes.
    #[must_use]
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// With an IPv6 extension header, after those that are there: its number, and its bytes but the first (which
    /// names what follows).
    #[must_use]
    pub fn extension(mut self, number: u8, bytes: &[u8]) -> Self {
        self.extensions.push((number, bytes.to_vec()));
        self
    }

    /// With this time to live, or hop limit.
    #[must_use]
    pub fn hop_limit(mut self, hop_limit: u8) -> Self {
        self.hop_limit = hop_limit;
        self
    }

    /// As a fragment: its offset in units of eight bytes, whether more follow, and the packet's identification. A
    /// fragment other than the first is the payload alone.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool, identification: u32) -> Self {
        self.fragment = Some((offset, more, identification));
        self
    }

    /// With bytes after the IP packet's end.
    #[must_use]
    pub fn padded(mut self, padding: usize) -> Self {
        self.padding = padding;
        self
    }

    /// The frame.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let (ether_type, ip_packet) = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => (
                EtherType::IPV4.0,
                self.ipv4(source.octets(), destination.octets()),
            ),
            (IpAddr::V6(source), IpAddr::V6(destination)) => (
                EtherType::IPV6.0,
                self.ipv6(source.octets(), destination.octets()),
            ),
            _ => panic!("a packet has addresses of one version"),
        };
        let mut frame = [DIRECTOR_MAC, GATEWAY_MAC].concat();
        for (tag, vlan) in &self.tags {
            frame.extend(tag.to_be_bytes());
            frame.extend(vlan.to_be_bytes());
        }
        frame.extend(ether_type.to_be_bytes());
        frame.extend(ip_packet);
        frame.extend(vec![0xee; self.padding]);
        frame
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let mut header = Ipv4Header {
            time_to_live: self.hop_limit,
            protocol: IpNumber(self.protocol()),
            source,
            destination,
            dont_fragment: self.fragment.is_none(),
            ..Ipv4Header::default()
        };
        header.options = self.options[..].try_into().expect("up to forty bytes, in fours");
        if let Some((offset, more, identification)) = self.fragment {
            header.fragment_offset = IpFragOffset::try_new(offset).expect("13 bits");
            header.more_fragments = more;
            header.identification = identification as u16;
        }
        let transport = match &self.transport {
            _ if self.is_later_fragment() => Vec::new(),
            Transport::Tcp(..) => {
                let mut tcp = self.tcp_header();
                tcp.checksum = tcp
                    .calc_checksum_ipv4_raw(source, destination, &self.payload)
                    .expect("short");
                tcp.to_bytes().to_vec()
            }
            Transport::Udp => UdpHeader::with_ipv4_checksum(
                self.source.port(),
                self.destination.port(),
                &header,
                &self.payload,
            )
            .expect("short")
            .to_bytes()
            .to_vec(),
            Transport::Other(_, bytes) => bytes.clone(),
        };
        header
            .set_payload_len(transport.len() + self.payload.len())
            .expect("short");
        header.header_checksum = header.calc_header_checksum();
        [header.to_bytes().to_vec(), transport, self.payload.clone()].concat()
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let transport = match &self.transport {
            _ if self.is_later_fragment() => Vec::new(),
            Transport::Tcp(..) => {
                let mut tcp = self.tcp_header();
                tcp.checksum = tcp
                    .calc_checksum_ipv6_raw(source, destination, &self.payload)
                    .expect("short");
                tcp.to_bytes().to_vec()
            }
            Transport::Udp => {
                let mut udp = UdpHeader {
                    source_port: self.source.port(),
                    destination_port: self.destination.port(),
                    length: 8 + self.payload.len() as u16,
                    checksum: 0,
                };
                udp.checksum = udp
                    .calc_checksum_ipv6_raw(source, destination, &self.payload)
                    .expect("short");
                udp.to_bytes().to_vec()
            }
            Transport::Other(_, bytes) => bytes.clone(),
        };
        let mut extensions = self.extensions.clone();
        if let Some((offset, more, identification)) = self.fragment {
            let mut bytes = vec![0];
            bytes.extend((offset << 3 | u16::from(more)).to_be_bytes());
            bytes.extend(identification.to_be_bytes());
            extensions.push((44, bytes));
        }
        let numbers: Vec<u8> = extensions
            .iter()
            .map(|(number, _)| *number)
            .chain([self.protocol()])
            .collect();
        let mut body = Vec::new();
        for ((_, bytes), next) in extensions.iter().zip(&numbers[1..]) {
            body.push(*next);
            body.extend(bytes);
        }
        body.extend(transport);
        body.extend(&self.payload);
        let header = Ipv6Header {
            traffic_class: 0,
            flow_label: Ipv6FlowLabel::ZERO,
            payload_length: body.len() as u16,
            next_header: IpNumber(numbers[0]),
            hop_limit: self.hop_limit,
            source,
            destination,
        };
        [header.to_bytes().to_vec(), body].concat()
    }

    fn is_later_fragment(&self) -> bool {
        matches!(self.fragment, Some((offset, ..)) if offset > 0)
    }

    fn protocol(&self) -> u8 {
        match &self.transport {
            Transport::Tcp(..) => 6,
            Transport::Udp => 17,
            Transport::Other(protocol, _) => *protocol,
        }
    }

    fn tcp_header(&self) -> TcpHeader {
        let Transport::Tcp(flags, sequence, acknowledgement) = self.transport else {
            panic!("not TCP");
        };
        let mut header = TcpHeader::new(self.source.port(), self.destination.port(), sequence, 64_240);
        header.acknowledgment_number = acknowledgement;
        header.syn = flags.syn;
        header.ack = flags.ack;
        header.fin = flags.fin;
        header.rst = flags.rst;
        header
    }
}

/// An ARP request of `sender` for `target`.
#[must_use]
pub fn arp_request(sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    arp(1, sender, target)
}

/// An ARP packet with this operation.
#[must_use]
pub fn arp(operation: u16, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = [[0xff; 6], GATEWAY_MAC].concat();
    frame.extend(EtherType::ARP.0.to_be_bytes());
    frame.extend([0, 1, 8, 0, 6, 4]);
    frame.extend(operation.to_be_bytes());
    frame.extend(GATEWAY_MAC);
    frame.extend(sender);
    frame.extend([0; 6]);
    frame.extend(target);
    frame
}

/// An ICMP or ICMPv6 message: type, code, the four bytes that depend on them, and the rest. (Its checksum is zero:
/// nothing on the way of a packet looks at it.)
#[must_use]
pub fn icmp(message_type: u8, code: u8, word: [u8; 4], rest: &[u8]) -> Vec<u8> {
    let mut message = vec![message_type, code, 0, 0];
    message.extend(word);
    message.extend(rest);
    message
}
