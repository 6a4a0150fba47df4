use super::bench::Report;
pub async fn all(_report: &mut Report) {}
