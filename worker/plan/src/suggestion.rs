//! Names in messages: the one that was probably meant, and those that exist.

use eddyline_connectors::table::edit_distance;

/// The nearest of the known names: equal but for case, or at an edit distance of at most 2.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Only the first 64 characters are compared, which bounds the cost of the edit distance.
    let head = |text: &str| text.to_lowercase().chars().take(64).collect::<String>();
    let name = head(name);
    known
        .map(|candidate| (edit_distance(&head(candidate), &name), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The names, separated by commas; at most twelve.
pub(crate) fn listed(names: &[&str]) -> String {
    let mut text = names.iter().take(12).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 12 {
        text.push_str(", …");
    }
    text
}
