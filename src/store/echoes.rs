//! How often each service has sent a credential back.
use super::link::Value;
use super::{Reader, Writer};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::CredentialId;
use crate::model::echo::Echoes;

impl Reader<'_> {
    /// Of one credential, by service.
    pub fn echoes(&self, credential: &CredentialId) -> Result<Vec<Echoes>> {
        let sql =
            "SELECT service, generation, times, last_at FROM echo WHERE credential_id = $1 ORDER BY service";
        let rows = self.conn().query(sql, &[Value::Text(credential.0.clone())])?;
        let read = |mut r: super::link::Row| {
            Ok(Echoes {
                service: r.text()?,
                generation: r.int()?,
                times: r.int()?,
                last_at: Millis(r.int()?),
            })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Writer<'_> {
    /// Counts one, of this `generation` of the credential; what was counted of an earlier one is forgotten.
    pub fn count_echo(&mut self, credential: &CredentialId, service: &str, generation: i64) -> Result<()> {
        let now = self.now().0;
        self.conn().execute(
            "INSERT INTO echo (credential_id, service, generation, times, last_at) VALUES ($1, $2, $3, 1, $4) \
             ON CONFLICT (credential_id, service) DO UPDATE SET \
             times = CASE WHEN echo.generation = excluded.generation THEN echo.times + 1 ELSE 1 END, \
             generation = excluded.generation, last_at = excluded.last_at",
            &[
                Value::Text(credential.0.clone()),
                Value::Text(service.to_owned()),
                Value::Int(generation),
                Value::Int(now),
            ],
        )?;
        Ok(())
    }

    /// Begins anew with one service.
    pub fn forget_echoes(&mut self, credential: &CredentialId, service: &str) -> Result<()> {
        let of = [Value::Text(credential.0.clone()), Value::Text(service.to_owned())];
        self.conn().execute("DELETE FROM echo WHERE credential_id = $1 AND service = $2", &of)?;
        Ok(())
    }
}
