//! Hygiene: what is wrong with the credentials that a caller may see, where one belongs, and what to do when somebody leaves.
//!
//! No value is opened for a report, but for fingerprints that are not there yet; nothing is sent anywhere.
mod accept;
mod audit;
mod catalogue;
pub mod fingerprint;
mod gather;
mod offboard;
mod recommend;
mod report;
mod row;

pub use accept::{AcceptFinding, Accepted};
pub use audit::{AuditCredentials, AuditReport};
pub use offboard::{OffboardingPlan, PlanOffboarding};
pub use recommend::{RecommendScope, Recommendation};
pub use row::FindingRow;
