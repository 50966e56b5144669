//! Rules that the API server checks, as expressions in CEL.
//!
//! Before the server accepts a definition it computes the highest cost of each rule. So every string, list and map that
//! a rule reads has a limit.

use kube::core::Rule;

/// CEL for: this duration field is not shorter than `least`, which is less than a day. CEL's own durations know no
/// days, and a text that a rule makes has no limit, so days are looked at as text.
fn is_at_least(field: &str, least: &str) -> String {
    format!("({field}.endsWith('d') ? {field}.matches('[1-9]') : duration({field}) >= duration('{least}'))")
}

/// The duration `self.{field}` must not be shorter than `least`, less than a day. `path` names the field in the
/// message.
pub fn at_least(path: &str, field: &str, least: &str) -> Rule {
    Rule::new(is_at_least(&format!("self.{field}"), least)).message(format!("{path} must be at least {least}").as_str())
}

/// As [`at_least`], for a field that may be absent.
pub fn at_least_if_set(path: &str, field: &str, least: &str) -> Rule {
    Rule::new(format!("!has(self.{field}) || {}", is_at_least(&format!("self.{field}"), least)))
        .message(format!("{path} must be at least {least}").as_str())
}

/// The first duration must not be longer than the second one. Numbers of days are not compared with one another.
pub fn not_longer(path: &str, shorter: &str, longer: &str) -> Rule {
    Rule::new(format!(
        "self.{longer}.endsWith('d') || !self.{shorter}.endsWith('d') && duration(self.{shorter}) <= duration(self.{longer})"
    ))
    .message(format!("{path}.{shorter} must not be longer than {path}.{longer}").as_str())
}

/// One of two fields may be set.
pub fn at_most_one(path: &str, one: &str, other: &str) -> Rule {
    Rule::new(format!("!(has(self.{one}) && has(self.{other}))"))
        .message(format!("{path} takes {one} or {other}, not both").as_str())
}

/// The name of a job becomes part of the names and labels of its objects, and of host names.
pub fn job_name() -> Rule {
    Rule::new(format!(
        "size(self.metadata.name) <= {} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        crate::stream_job::NAME_LENGTH_MAX
    ))
    .message(
        format!(
            "the name of a StreamJob has at most {} characters: lower-case letters, digits and '-', with a letter in front \
             and no '-' at the end",
            crate::stream_job::NAME_LENGTH_MAX
        )
        .as_str(),
    )
}
