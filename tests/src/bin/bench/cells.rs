//! What is measured: each row of the table for each program that can be in it.

use anyhow::{Result, ensure};
use lab::dataplane::Dataplane;
use lab::packet::{ACK, SYN};
use lb_common::{Verdict, maps};

use crate::director;
use crate::floor::Floor;
use crate::harness::Harness;
use crate::plane::{Plane, Program};
use crate::traffic::{Range, STRANGERS, Traffic, VIP, clients, vips};

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// Segments of as many established connections, over IPv4.
    Established(u32),
    Ipv6,
    Datagrams,
    /// As many established connections of one service, where others are.
    OneService(u32),
    /// One established connection of each of as many services.
    Services(u32),
    NotVirtual,
    Arp,
    /// First segments of new connections.
    New,
    /// The same, without names.
    Nameless,
    /// The same, in a table half full of established ones.
    Flood,
    /// New connections of as many services.
    NewOfServices(u32),
}

impl Row {
    /// All, in the order of the table.
    pub(crate) const fn all() -> [Self; 14] {
        [
            Self::Established(1),
            Self::Established(FEW),
            Self::Established(MANY),
            Self::Established(MORE),
            Self::Ipv6,
            Self::Datagrams,
            Self::New,
            Self::Nameless,
            Self::Flood,
            Self::NotVirtual,
            Self::Arp,
            Self::OneService(services()),
            Self::Services(services()),
            Self::NewOfServices(services()),
        ]
    }

    /// As the table has it.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Established(1) => "established TCP, 1 flow".into(),
            Self::Established(flows) => format!("established TCP, {} flows", count(flows)),
            Self::Ipv6 => "established TCP, IPv6, 1 flow".into(),
            Self::Datagrams => "UDP, 1 flow".into(),
            Self::OneService(flows) => format!("{} flows of 1 service", count(flows)),
            Self::Services(services) => format!("1 flow of each of {} services", count(services)),
            Self::NotVirtual => "not a virtual address".into(),
            Self::Arp => "ARP request for another".into(),
            Self::New => "new TCP connection".into(),
            Self::Nameless => "new TCP connection, no names".into(),
            Self::Flood => "new TCP connection, half full".into(),
            Self::NewOfServices(services) => format!("new, {} services", count(services)),
        }
    }
}

/// `4 000`, `1 M`.
fn count(number: u32) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{} {:03}", number / 1_000, number % 1_000),
        _ => format!("{} M", number >> 20),
    }
}

/// One figure of the table.
pub(crate) struct Cell {
    pub(crate) row: Row,
    pub(crate) program: Program,
    /// The number of its plane.
    pub(crate) plane: usize,
    pub(crate) traffic: Traffic,
    /// What has to become of the packets.
    pub(crate) verdict: Verdict,
}

impl Cell {
    /// Whether it changes the table that it is measured in.
    pub(crate) const fn is_new(&self) -> bool {
        matches!(self.verdict, Verdict::ForwardNew)
    }
}

/// What is measured, and the programs by number.
#[derive(Default)]
pub(crate) struct Cells {
    pub(crate) planes: Vec<Plane>,
    pub(crate) cells: Vec<Cell>,
}

/// A few connections, which stay in the caches.
pub(crate) const FEW: u32 = 4_000;
/// As many as the table has by default.
pub(crate) const MANY: u32 = 1 << 20;
/// More.
const MORE: u32 = 1 << 22;

/// As many services as there can be, or 10 000.
pub(crate) const fn services() -> u32 {
    if maps::SERVICES.capacity < 10_000 {
        maps::SERVICES.capacity
    } else {
        10_000
    }
}

impl Cells {
    /// Loads and fills everything.
    pub(crate) fn prepare(harness: &mut Harness) -> Result<Self> {
        let mut cells = Self::default();
        cells.floors(harness)?;
        cells.hits(harness)?;
        cells.services(harness)?;
        cells.news()?;
        Ok(cells)
    }

    fn add(&mut self, plane: impl Into<Plane>) -> usize {
        self.planes.push(plane.into());
        self.planes.len() - 1
    }

    fn cell(&mut self, row: Row, program: Program, plane: usize, traffic: Traffic, verdict: Verdict) {
        self.cells.push(Cell {
            row,
            program,
            plane,
            traffic,
            verdict,
        });
    }

    fn established(&mut self, program: Program, plane: usize, flows: &[u32]) {
        for flows in flows {
            let traffic = Traffic::data(clients(*flows), VIP);
            self.cell(
                Row::Established(*flows),
                program,
                plane,
                traffic,
                Verdict::ForwardFlow,
            );
        }
    }

    /// Opens as many connections as the traffic has, and establishes each soon after: a table may give a place away
    /// that has been half-open for seconds.
    fn establish(
        &mut self,
        harness: &mut Harness,
        plane: usize,
        open: &Traffic,
        data: &Traffic,
    ) -> Result<()> {
        let connections = open.clients.count.max(open.vips.count);
        let mut known = Some(0);
        for (open, data) in open.parts().zip(data.parts()) {
            let count = open.clients.count.max(open.vips.count);
            self.send(harness, plane, &open, count)?;
            let more = self.known(harness, plane, &data, count)?;
            known = known.zip(more).map(|(known, more)| known + more);
        }
        ensure!(
            known.is_none_or(|known| known == u64::from(connections)),
            "of {connections} connections, {known:?} are known"
        );
        Ok(())
    }

    /// How many of these packets belong to known connections, if the program tells. After one that does not, none does:
    /// its answer is what is repeated.
    pub(crate) fn known(
        &mut self,
        harness: &mut Harness,
        plane: usize,
        data: &Traffic,
        packets: u32,
    ) -> Result<Option<u64>> {
        let before = self.planes[plane].counted(Verdict::ForwardFlow)?;
        self.send(harness, plane, data, packets)?;
        let after = self.planes[plane].counted(Verdict::ForwardFlow)?;
        Ok(after.zip(before).map(|(after, before)| after - before))
    }

    /// Sends packets without looking at the time.
    fn send(&mut self, harness: &mut Harness, plane: usize, traffic: &Traffic, packets: u32) -> Result<()> {
        harness.run(self.planes[plane].program_fd()?, traffic, 0, packets)?;
        Ok(())
    }

    fn floors(&mut self, harness: &mut Harness) -> Result<()> {
        let swap = self.add(Floor::load("swap", 1)?);
        self.established(Program::Swap, swap, &[1]);
        // Twice as many entries as connections: an LRU table that is full evicts before it must.
        for (program, name) in [(Program::Track, "track"), (Program::Tracked, "tracked")] {
            let plane = self.add(Floor::load(name, 2 * MANY)?.serve(VIP)?);
            let (open, data) = (
                Traffic::open(clients(MANY), VIP),
                Traffic::data(clients(MANY), VIP),
            );
            self.establish(harness, plane, &open, &data)?;
            self.established(program, plane, &[1, FEW, MANY]);
            if program == Program::Tracked {
                let elsewhere = Traffic::elsewhere();
                self.cell(Row::NotVirtual, program, plane, elsewhere, Verdict::PassNotOurs);
            }
        }
        let stateless = self.add(Floor::load("stateless", 1)?.serve(VIP)?);
        self.established(Program::Stateless, stateless, &[1, FEW, MANY]);
        Ok(())
    }

    fn hits(&mut self, harness: &mut Harness) -> Result<()> {
        // Half of the words of its table are established connections: the flood comes last.
        let plane = self.add(director::with_three_services(Dataplane::load(MANY)?));
        let (open, data) = (
            Traffic::open(clients(MANY), VIP),
            Traffic::data(clients(MANY), VIP),
        );
        self.establish(harness, plane, &open, &data)?;
        self.establish(harness, plane, &Traffic::ipv6(SYN), &Traffic::ipv6(ACK))?;
        self.establish(harness, plane, &Traffic::datagram(), &Traffic::datagram())?;
        self.established(Program::Lbd, plane, &[1, FEW, MANY]);
        let rows = [
            (Row::Ipv6, Traffic::ipv6(ACK), Verdict::ForwardFlow),
            (Row::Datagrams, Traffic::datagram(), Verdict::ForwardFlow),
            (Row::NotVirtual, Traffic::elsewhere(), Verdict::PassNotOurs),
            (Row::Arp, Traffic::arp(), Verdict::PassNotOurs),
        ];
        for (row, traffic, verdict) in rows {
            self.cell(row, Program::Lbd, plane, traffic, verdict);
        }
        self.opening(Row::Flood, Program::Lbd, plane, VIP);
        let plane = self.add(director::with_three_services(Dataplane::load(MORE)?));
        let (open, data) = (
            Traffic::open(clients(MORE), VIP),
            Traffic::data(clients(MORE), VIP),
        );
        self.establish(harness, plane, &open, &data)?;
        self.established(Program::Lbd, plane, &[MORE]);
        Ok(())
    }

    fn services(&mut self, harness: &mut Harness) -> Result<()> {
        let all = vips(services());
        let one = vips(1);
        let tracked = self.add(Floor::load("tracked", 2 * MANY)?.serve(all)?);
        let lbd = self.add(director::with_services(Dataplane::load(MANY)?, all));
        for (program, plane) in [(Program::Tracked, tracked), (Program::Lbd, lbd)] {
            let rows = [
                (Row::OneService(all.count), clients(all.count), one),
                (Row::Services(all.count), clients(1), all),
            ];
            for (row, clients, vips) in rows {
                let data = Traffic::data(clients, vips);
                self.establish(harness, plane, &Traffic::open(clients, vips), &data)?;
                self.cell(row, program, plane, data, Verdict::ForwardFlow);
            }
        }
        let row = Row::NewOfServices(all.count);
        self.opening(row, Program::Lbd, lbd, all);
        Ok(())
    }

    fn news(&mut self) -> Result<()> {
        // An LRU table for as many connections as lbd's is sized for.
        let tracked = self.add(Floor::load("tracked", MANY)?.serve(VIP)?);
        let lbd = self.add(director::with_three_services(Dataplane::load(MANY)?));
        self.opening(Row::New, Program::Tracked, tracked, VIP);
        self.opening(Row::New, Program::Lbd, lbd, VIP);
        let nameless = self.add(director::with_three_services(Dataplane::load_nameless(MANY)?));
        self.opening(Row::Nameless, Program::Lbd, nameless, VIP);
        Ok(())
    }

    fn opening(&mut self, row: Row, program: Program, plane: usize, vips: Range) {
        let traffic = Traffic::open(STRANGERS, vips);
        self.cell(row, program, plane, traffic, Verdict::ForwardNew);
    }
}
