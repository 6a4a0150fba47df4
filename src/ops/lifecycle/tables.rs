//! The tables whose rows have MACs, in one list: what is put under a new key, and what is looked at after a restore.
//!
//! A table that is missing here would be unreadable after the org's next key: a test holds the list against every
//! `entity!` of the store.

/// Calls the macro `$each` with the types of all rows that have MACs.
macro_rules! every_table {
    ($each:ident) => {
        $each!(
            crate::model::org::Org,
            crate::model::org::User,
            crate::model::org::Team,
            crate::model::org::Membership,
            crate::model::credential::Credential,
            crate::model::credential::Version,
            crate::model::access::Grant,
            crate::model::provider::Provider,
            crate::model::approval::Approval,
            crate::model::token::Token,
            crate::model::entry::EntryLink,
            crate::model::connection::Connection,
            crate::model::connection::Consent,
            crate::model::consumer::Consumer,
            crate::model::consumer::Binding,
            crate::model::consumer::ConsumerToken,
            crate::model::probe::Probe,
            crate::model::probe::Ending,
            crate::model::notice::Warning,
            crate::model::notice::Notice,
            crate::model::canary::Canary,
            crate::model::canary::CanaryAlert,
            crate::model::hygiene::kept::Acceptance,
            crate::model::rotation::Rotation,
            crate::model::rotation::RotationConsumer,
            crate::model::rotation::RotationCall,
            crate::model::rotation::Campaign,
            crate::model::rotation::RotationPolicy,
            crate::model::rotation::RotationAdvice,
        )
    };
}

/// As `every_table!`, of rows that are made anew under the next key, since they were computed with the former one.
macro_rules! every_remade_table {
    ($each:ident) => {
        $each!(crate::model::hygiene::kept::Fingerprint, crate::model::hygiene::kept::KeptReport,)
    };
}

pub(super) use {every_remade_table, every_table};
