//! PEM text as people write it into SQL and Secrets, converted to the lines that OpenSSL requires.

/// The length of a line of base64 text.
const LINE: usize = 64;

/// PEM blocks with proper lines. `None` if there is no block, or one without an end.
///
/// Blocks on one line are broken up, as Java's clients accept them, and `\n` written as two characters ends a line.
/// Blocks that have lines stay as they are: they may have headers. Text between blocks is left out.
pub fn lines(text: &str) -> Option<String> {
    let text = text.replace("\\n", "\n").replace('\r', "");
    let mut rest = text.as_str();
    let mut written = String::with_capacity(text.len());
    while let Some((_, block)) = rest.split_once("-----BEGIN ") {
        let (label, block) = block.split_once("-----")?;
        let end = format!("-----END {label}-----");
        let (body, behind) = block.split_once(end.as_str())?;
        written.push_str(&format!("-----BEGIN {label}-----\n"));
        if body.trim().contains('\n') || body.trim().contains(':') {
            for line in body.trim().lines() {
                written.push_str(line.trim());
                written.push('\n');
            }
        } else {
            let base64: Vec<char> = body.chars().filter(|c| !c.is_whitespace()).collect();
            for line in base64.chunks(LINE) {
                written.extend(line);
                written.push('\n');
            }
        }
        written.push_str(&end);
        written.push('\n');
        rest = behind;
    }
    Some(written).filter(|written| !written.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_becomes_many() {
        let body = "A".repeat(70);
        let expected = format!("-----BEGIN CERTIFICATE-----\n{}\nAAAAAA\n-----END CERTIFICATE-----\n", "A".repeat(64));
        for text in [
            format!("-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----"),
            format!("-----BEGIN CERTIFICATE----- {} {} -----END CERTIFICATE-----", &body[..64], &body[64..]),
            format!("-----BEGIN CERTIFICATE-----\\n{}\\n{}\\n-----END CERTIFICATE-----\\n", &body[..64], &body[64..]),
            format!("-----BEGIN CERTIFICATE-----\r\n{}\r\n{}\r\n-----END CERTIFICATE-----", &body[..64], &body[64..]),
        ] {
            assert_eq!(lines(&text).as_deref(), Some(expected.as_str()), "{text}");
        }
    }

    #[test]
    fn blocks_keep_their_order_and_headers() {
        let text = "subject=CN = x\n-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n\
                    -----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nQUE=\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(lines(text).as_deref(), text.split_once('\n').map(|(_, blocks)| blocks));
    }

    #[test]
    fn what_has_no_whole_block_is_no_pem() {
        for text in ["", "/etc/ca.pem", "-----BEGIN CERTIFICATE-----\nQQ==\n", "-----BEGIN CERT"] {
            assert_eq!(lines(text), None, "{text}");
        }
    }
}
