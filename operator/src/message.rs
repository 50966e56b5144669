//! Messages for people, as long as people read: in conditions, events and failures.

/// The longest message. Events take no more than 1024 bytes.
const BYTES_MAX: usize = 1000;

/// A message in the form that is shown: XML by its code and message, and not too long.
pub fn shown(text: &str) -> String {
    shortened(&without_xml(text))
}

fn shortened(text: &str) -> String {
    if text.len() <= BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=BYTES_MAX - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

/// S3 servers answer in XML; what they mean stands in two of its elements.
fn without_xml(text: &str) -> String {
    let Some(begin) = text.find("<?xml").or_else(|| text.find("<Error>")) else { return text.to_owned() };
    let (before, xml) = text.split_at(begin);
    let element = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(content, _)| content)
    };
    let after = xml.rfind("</Error>").map_or("", |end| &xml[end + "</Error>".len()..]);
    let said: Vec<&str> = ["Code", "Message"].iter().filter_map(|name| element(name)).collect();
    format!("{before}{}{after}", if said.is_empty() { "an answer in XML".to_owned() } else { said.join(": ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let note = shown(&"ä".repeat(1000));
        assert!(note.len() <= BYTES_MAX && note.ends_with('…'), "{}", note.len());
        assert_eq!(shown("short"), "short");
    }

    #[test]
    fn of_an_answer_in_xml_its_code_and_message_are_shown() {
        let answer = format!(
            "failed to read: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>Check \
             your key.</Message><StringToSignBytes>{}</StringToSignBytes></Error> (3 tries)",
            "41 57 ".repeat(400)
        );
        assert_eq!(shown(&answer), "failed to read: 403 Forbidden: SignatureDoesNotMatch: Check your key. (3 tries)");
        assert_eq!(shown("no: <?xml?><html/>"), "no: an answer in XML");
    }
}
