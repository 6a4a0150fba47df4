//! The catalogue of services as callers ask for it, and how a credential is replaced.
mod guide;
mod show;

pub use guide::{CredentialGuide, GetRotationGuide, LastUse, RotationAnswer};
pub use show::{GetService, KeyShape, ListServices, OauthSummary, ParamRow, ServiceDetails, ServiceList};
