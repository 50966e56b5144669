//! What an object store says to a request that it will never carry out.
//!
//! Its client keeps the status of an answer to itself: only the text of the error has it. The texts are pinned by tests that
//! ask a server.

use std::error::Error;

/// In front of the status of an answer.
const STATUS: &str = "status code: ";
/// Answers that say "later", or "with other credentials", although their status is that of a wrong request.
const PASSING: [&str; 5] =
    ["RequestTimeout", "RequestTimeTooSkewed", "ExpiredToken", "TokenRefreshRequired", "InvalidToken"];

/// Whether an error is an answer that the same request gets again, whenever it is made: a status from 400 to 499. Not
/// those that pass: the request came too slowly, there are too many, clocks differ, credentials are refused.
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
