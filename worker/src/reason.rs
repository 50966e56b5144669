//! Errors as people read them in a status: one line where it can be one, of bounded length. The whole text is for the log.

use crate::chain_of;

/// The most characters of a reason.
const CHARACTERS_MAX: usize = 1000;

/// An error and everything behind it, for a status.
pub fn reason_of(error: &(dyn std::error::Error + 'static)) -> String {
    bounded(without_documents(&chain_of(error)))
}

/// Object stores answer with documents, of which a code and a message are for people.
fn without_documents(text: &str) -> String {
    let mut readable = String::with_capacity(text.len().min(CHARACTERS_MAX));
    let mut rest = text;
    while let Some(start) = rest.find("<?xml").or_else(|| rest.find("<Error>")) {
        let (before, document) = rest.split_at(start);
        const CLOSE: &str = "</Error>";
        let end = document.find(CLOSE).map_or(document.len(), |end| end + CLOSE.len());
        readable.push_str(before.trim_end());
        readable.push(' ');
        let parts: Vec<&str> =
            ["Code", "Message"].iter().filter_map(|element| content(&document[..end], element)).collect();
        readable.push_str(&if parts.is_empty() { "(a document)".to_owned() } else { parts.join(": ") });
        rest = &document[end..];
    }
    readable.push_str(rest);
    readable
}

fn content<'a>(document: &'a str, element: &str) -> Option<&'a str> {
    let (_, after) = document.split_once(&format!("<{element}>"))?;
    Some(after.split_once(&format!("</{element}>"))?.0.trim())
}

fn bounded(text: String) -> String {
    match text.char_indices().nth(CHARACTERS_MAX) {
        None => text,
        Some((end, _)) => format!("{}… (the log has the rest)", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_s3_is_its_code_and_message() {
        let bytes = "53 54 41 ".repeat(400);
        let text = format!(
            "failed to write s3://b/x: 403 Forbidden: <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SignatureDoesNotMatch\
             </Code><Message>The key does not fit.</Message><StringToSignBytes>{bytes}</StringToSignBytes></Error>"
        );
        let error = std::io::Error::other(text);
        let reason = reason_of(&error);
        assert_eq!(reason, "failed to write s3://b/x: 403 Forbidden: SignatureDoesNotMatch: The key does not fit.");
    }

    #[test]
    fn what_is_long_is_cut_between_characters_and_what_is_cut_off_does_no_harm() {
        let reason = reason_of(&std::io::Error::other("ä".repeat(5000)));
        assert!(reason.chars().count() < CHARACTERS_MAX + 40 && reason.ends_with("the rest)"), "{reason}");
        assert_eq!(reason_of(&std::io::Error::other("403: <?xml <Error><Code>A</Co")), "403: (a document)");
        let list = "does not fit:\n  operator a\n  operator b";
        assert_eq!(reason_of(&std::io::Error::other(list)), list);
    }
}
