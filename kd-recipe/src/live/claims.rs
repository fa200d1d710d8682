//! The claims of a campaign as they are judged so far.

use std::path::Path;

use kd_core::Result;
use kd_report::Section;
use serde_json::Value;

use crate::campaign::judged_claim::JudgedClaim;
use crate::campaign::markdown::{CLAIMS, claims_table};

/// The claims of the campaign in a folder with what was measured for them; nothing for one without claims, or
/// that has no results yet.
///
/// # Errors
///
/// If the table cannot be put together.
pub fn live_claims(campaign: &Path, title: &str) -> Result<Option<Section>> {
    let text = std::fs::read_to_string(campaign.join("results.json")).unwrap_or_default();
    // A file that is being written is read at the next look.
    let results: Value = serde_json::from_str(&text).unwrap_or_default();
    let claims: Vec<JudgedClaim> =
        serde_json::from_value(results["claims"].clone()).unwrap_or_default();
    let section = |table| Section::new(title).with_table(table).with_text(CLAIMS);
    Ok(claims_table(&claims)?.map(section))
}
