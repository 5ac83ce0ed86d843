//! The forwarding maps, kept as they should be.

use tracing::{debug, warn};

use crate::director::{Desired, Inputs, Plane, Planner, Shortage};
use crate::io::bpf::{Error, Tables};

/// The maps, the copy of what they hold, and the planner between the two.
pub(super) struct Forwarding {
    tables: Tables,
    plane: Plane,
    planner: Planner,
    /// What did not fit the last time: told once.
    shortages: Vec<Shortage>,
}

impl Forwarding {
    /// Begins with what the maps hold.
    pub(super) fn open(tables: Tables) -> Result<Self, Error> {
        let plane = tables.read()?;
        Ok(Self {
            tables,
            plane,
            planner: Planner::new(),
            shortages: Vec::new(),
        })
    }

    /// What the maps hold.
    pub(super) fn plane(&self) -> &Plane {
        &self.plane
    }

    /// The maps' counters.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Reads the maps again, in case something else wrote them.
    pub(super) fn read_again(&mut self) {
        match self.tables.read() {
            Ok(plane) => self.plane = plane,
            Err(error) => warn!(error = %Chain(&error), "cannot read the maps"),
        }
    }

    /// Brings the maps to what `inputs` ask for. What cannot be written is left to the next time.
    pub(super) fn converge(&mut self, inputs: &Inputs<'_>) {
        loop {
            let desired = Desired::new(inputs, &self.plane);
            let plan = self.planner.plan(&self.plane, &desired);
            for operation in &plan.operations {
                debug!(%operation, "map write");
                if let Err(error) = self.tables.apply(operation) {
                    warn!(%operation, error = %Chain(&error), "map write failed");
                    return;
                }
                self.plane.apply(operation);
            }
            // Operations may have made the room that was short.
            if plan.shortages.is_empty() || plan.operations.is_empty() {
                self.tell(plan.shortages);
                return;
            }
        }
    }

    fn tell(&mut self, shortages: Vec<Shortage>) {
        for shortage in shortages
            .iter()
            .filter(|shortage| !self.shortages.contains(shortage))
        {
            warn!(%shortage, "the data plane is too small");
        }
        self.shortages = shortages;
    }
}

/// An error and its causes in one line.
pub(super) struct Chain<'a>(pub(super) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(formatter, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
