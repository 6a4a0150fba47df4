//! What is known of a credential beside its own row: its last test, and when its value ends by what it says itself.
use crate::clock::Millis;
use crate::error::Result;
use crate::model::connection::Connection;
use crate::model::credential::Credential;
use crate::model::org::Org;
use crate::model::probe::{Ending, Probe};
use crate::model::status::{StatusReport, status_with};
use crate::store::Reader;

#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub probe: Option<Probe>,
    pub ending: Option<Ending>,
}

impl Facts {
    pub fn of(tx: &Reader<'_>, c: &Credential) -> Result<Self> {
        let ending = match c.current_version {
            Some(number) => tx.ending(&c.org_id, &c.id, number)?,
            None => None,
        };
        Ok(Self { probe: tx.probe(&c.org_id, &c.id)?, ending })
    }

    /// When it ends: as somebody entered, else as the current value or its service says.
    pub fn ends_at(&self, c: &Credential) -> Option<Millis> {
        let told = self.ending.as_ref().filter(|e| Some(e.number) == c.current_version);
        c.expires_at.or(told.map(|e| e.ends_at))
    }

    /// Its status with all of this.
    pub fn status(
        &self,
        c: &Credential,
        connection: Option<&Connection>,
        now: Millis,
        org: &Org,
    ) -> StatusReport {
        let finding = self.probe.as_ref().and_then(|probe| probe.finding(c.current_version));
        let message = self.probe.as_ref().map_or("", |probe| probe.message.as_str());
        status_with(
            c,
            connection,
            self.ends_at(c),
            finding.map(|f| (f, message)),
            now,
            org.warn_days,
            org.bin_days,
        )
    }
}
