//! Recognises answers of an object store to a request that can never succeed.
//!
//! The client of the store does not give access to the status of an answer. Only the text of its error has it. Tests
//! that ask a server pin these texts.

use std::error::Error;

/// The text before the status in an error.
const STATUS: &str = "status code: ";
/// Codes of errors that pass after a while or with other credentials, although their status is that of an invalid
/// request.
const PASSING: [&str; 5] =
    ["RequestTimeout", "RequestTimeTooSkewed", "ExpiredToken", "TokenRefreshRequired", "InvalidToken"];

/// Whether the same request would be refused again at any time: its status is from 400 to 499. Some of these pass and
/// do not count: a request that came too slowly, too many requests, clocks that differ, refused credentials.
pub fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if status_of(&text).is_some_and(is_of_the_request) {
            return !PASSING.iter().any(|code| text.contains(&format!("<Code>{code}</Code>")));
        }
        next = error.source();
    }
    false
}

fn status_of(text: &str) -> Option<u16> {
    let (_, after) = text.split_once(STATUS)?;
    after.get(..3)?.parse().ok()
}

fn is_of_the_request(status: u16) -> bool {
    (400..500).contains(&status) && !matches!(status, 401 | 403 | 408 | 429)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Answer(String);

    impl std::fmt::Display for Answer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl Error for Answer {}

    #[test]
    fn a_refusal_is_an_answer_about_the_request_itself() {
        let is_refused = |status: &str, code: &str| {
            let body = format!("<Error><Code>{code}</Code></Error>");
            is_refusal(&Answer(format!("Server returned non-2xx status code: {status}: {body}")))
        };
        for status in ["400 Bad Request", "405 Method Not Allowed", "411 Length Required", "416 Range Not Satisfiable"]
        {
            assert!(is_refused(status, "InvalidRequest"), "{status}");
        }
        for status in
            ["401 Unauthorized", "403 Forbidden", "408 Request Timeout", "429 Too Many Requests", "503 Slow Down"]
        {
            assert!(!is_refused(status, "InvalidRequest"), "{status}");
        }
        for code in PASSING {
            assert!(!is_refused("400 Bad Request", code), "{code}");
        }
        assert!(!is_refusal(&Answer("connection refused".to_owned())));
        assert!(!is_refusal(&Answer("status code: 4".to_owned())));
    }
}
