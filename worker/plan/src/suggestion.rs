//! Names in messages: the one that was meant, and those that there are.

use eddyline_connectors::table::edit_distance;

/// The nearest of some names: the same in another case, or a letter or two apart.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer names are compared by their beginning.
    let head = |text: &str| text.to_lowercase().chars().take(64).collect::<String>();
    let name = head(name);
    known
        .map(|candidate| (edit_distance(&head(candidate), &name), candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Names with commas between them, not more than twelve.
pub(crate) fn listed(names: &[&str]) -> String {
    let mut text = names.iter().take(12).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 12 {
        text.push_str(", …");
    }
    text
}
