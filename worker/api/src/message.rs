//! Short texts for people: in conditions, events, failures and reports. The log has the whole text.

/// The longest text, in bytes. Events hold at most 1024 bytes.
pub const BYTES_MAX: usize = 1000;

/// A text in the form that is shown: cut to the limit, and with the messages of XML documents instead of the documents.
pub fn shown(text: &str) -> String {
    shortened(without_documents(text))
}

/// An error with all its causes in one line: what failed, and why.
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some errors already have their cause in their own text.
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

fn shortened(text: String) -> String {
    if text.len() <= BYTES_MAX {
        return text;
    }
    let end = (0..=BYTES_MAX - '…'.len_utf8()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// Object stores answer with XML documents. A code and a message in them are for people.
fn without_documents(text: &str) -> String {
    const CLOSE: &str = "</Error>";
    let mut readable = String::with_capacity(text.len().min(BYTES_MAX));
    let mut rest = text;
    while let Some(start) = rest.find("<?xml").or_else(|| rest.find("<Error>")) {
        let (before, document) = rest.split_at(start);
        let end = document.find(CLOSE).map_or(document.len(), |end| end + CLOSE.len());
        let parts: Vec<&str> =
            ["Code", "Message"].iter().filter_map(|element| content(&document[..end], element)).collect();
        readable.push_str(before);
        readable.push_str(&if parts.is_empty() { "an answer in XML".to_owned() } else { parts.join(": ") });
        rest = &document[end..];
    }
    readable.push_str(rest);
    readable
}

fn content<'a>(document: &'a str, element: &str) -> Option<&'a str> {
    let (_, after) = document.split_once(&format!("<{element}>"))?;
    Some(after.split_once(&format!("</{element}>"))?.0.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for text in ["ä".repeat(5000), "x".repeat(1001), "…".repeat(334)] {
            let note = shown(&text);
            assert!(note.len() <= BYTES_MAX && note.len() > BYTES_MAX - 8 && note.ends_with('…'), "{}", note.len());
        }
        for text in ["short".to_owned(), "x".repeat(1000), "does not fit:\n  operator a\n  operator b".to_owned()] {
            assert_eq!(shown(&text), text);
        }
    }

    #[test]
    fn of_an_answer_in_xml_its_code_and_message_are_shown() {
        let document = |code: &str| {
            let bytes = "41 57 ".repeat(400);
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>Check your key.</Message>\
                 <StringToSignBytes>{bytes}</StringToSignBytes></Error>"
            )
        };
        assert_eq!(
            shown(&format!("failed to read s3://b/x: 403 Forbidden: {} (3 tries)", document("SignatureDoesNotMatch"))),
            "failed to read s3://b/x: 403 Forbidden: SignatureDoesNotMatch: Check your key. (3 tries)"
        );
        assert_eq!(
            shown(&format!("{}; then {}", document("SlowDown"), document("AccessDenied"))),
            "SlowDown: Check your key.; then AccessDenied: Check your key."
        );
        assert_eq!(shown("no: <?xml?><html/>"), "no: an answer in XML");
        assert_eq!(shown("403: <?xml <Error><Code>A</Co"), "403: an answer in XML", "one that was cut off");
    }

    #[derive(Debug)]
    struct Outer(&'static str, std::io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn the_last_cause_is_in_the_line_once() {
        let full = || std::io::Error::other("disk full");
        assert_eq!(chain_of(&Outer("failed to write", full())), "failed to write: disk full");
        assert_eq!(chain_of(&Outer("failed to write: disk full", full())), "failed to write: disk full");
    }
}
