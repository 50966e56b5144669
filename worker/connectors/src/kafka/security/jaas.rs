//! `sasl.jaas.config`: `…LoginModule required username="…" password="…";`

/// The modules that log in with a user and a password, whatever package they are in.
const MODULES: [&str; 2] = ["PlainLoginModule", "ScramLoginModule"];

/// The credentials of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Reads a configuration with one login module.
///
/// A configuration that is only a reference to a Secret cannot be read yet, and is kept as it is.
///
/// # Errors
/// Says what is wrong, without the values.
pub fn parse(config: &str) -> Result<Login, String> {
    let config = config.trim();
    if config.starts_with("${secret:") && config.ends_with('}') {
        return Ok(Login { username: config.to_owned(), password: config.to_owned() });
    }
    let unreadable = || {
        "expected '…LoginModule required username=\"…\" password=\"…\";' with PlainLoginModule or ScramLoginModule and \
         nothing else; a user or password with quotes or backslashes is better given in 'properties.sasl.username' and \
         'properties.sasl.password'"
            .to_owned()
    };
    let mut words = Words { rest: config };
    let module = words.next().ok_or_else(unreadable)?;
    let name = module.rsplit('.').next().unwrap_or_default();
    let flag = words.next().ok_or_else(unreadable)?;
    if !MODULES.contains(&name) || !matches!(flag.as_str(), "required" | "requisite" | "sufficient" | "optional") {
        return Err(unreadable());
    }
    let (mut username, mut password) = (None, None);
    while !words.at(';') {
        let key = words.next().ok_or_else(unreadable)?;
        if !words.at('=') {
            return Err(unreadable());
        }
        let value = words.next().ok_or_else(unreadable)?;
        match key.as_str() {
            "username" => username = Some(value),
            "password" => password = Some(value),
            _ => return Err(format!("'{key}' of the login module is not supported, only username and password")),
        }
    }
    match (username, password, words.rest.trim()) {
        (Some(username), Some(password), "") => Ok(Login { username, password }),
        _ => Err(unreadable()),
    }
}

/// Words of a configuration: quoted ones, and those up to a blank, `=` or `;`.
struct Words<'a> {
    rest: &'a str,
}

impl Words<'_> {
    /// Skips `mark` if it comes next.
    fn at(&mut self, mark: char) -> bool {
        self.rest = self.rest.trim_start();
        let behind = self.rest.strip_prefix(mark);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// The next word. `None` if there is none, or if a quote is not closed.
    fn next(&mut self) -> Option<String> {
        self.rest = self.rest.trim_start();
        match self.rest.chars().next()? {
            quote @ ('"' | '\'') => self.quoted(quote),
            _ => {
                let end = self.rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | ';' | '"' | '\''));
                let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                self.rest = rest;
                Some(word.to_owned()).filter(|word| !word.is_empty())
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Option<String> {
        let mut word = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => word.push(characters.next()?.1),
                _ if character == quote => {
                    self.rest = &self.rest[at + quote.len_utf8()..];
                    return Some(word);
                }
                _ => word.push(character),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(username: &str, password: &str) -> Result<Login, String> {
        Ok(Login { username: username.to_owned(), password: password.to_owned() })
    }

    #[test]
    fn modules_are_known_in_any_package_and_values_in_any_quotes() {
        let scram =
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"a\" password='b;\\' c';";
        assert_eq!(parse(scram), login("a", "b;' c"));
        let shaded = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.plain.PlainLoginModule  required\n \
                      password=\"p=\\\"\\\\\" username=a ;";
        assert_eq!(parse(shaded), login("a", "p=\"\\"));
    }

    #[test]
    fn references_stand_for_themselves() {
        assert_eq!(parse(" ${secret:kafka/jaas} "), login("${secret:kafka/jaas}", "${secret:kafka/jaas}"));
        let inside = "x.ScramLoginModule required username=\"u\" password=\"${secret:kafka/password}\";";
        assert_eq!(parse(inside), login("u", "${secret:kafka/password}"));
    }

    #[test]
    fn what_is_not_understood_is_refused_without_its_values() {
        for config in [
            "",
            "x.Krb5LoginModule required username=\"topsecret\" password=\"topsecret\";",
            "x.PlainLoginModule required username=\"topsecret\";",
            "x.PlainLoginModule required username=\"topsecret\" password=\"topsecret\"",
            "x.PlainLoginModule required username=\"a\" password=\"topsecret\"more\";",
            "x.PlainLoginModule required username=\"a\" password=\"topsecret;",
            "x.PlainLoginModule required username=\"a\" password=\"topsecret\"; x.PlainLoginModule required;",
            "x.PlainLoginModule username=\"a\" password=\"topsecret\";",
            "x.ScramLoginModule required username=\"a\" password=\"topsecret\" tokenauth=\"true\";",
        ] {
            let error = parse(config).unwrap_err();
            assert!(!error.contains("topsecret"), "{config}: {error}");
        }
    }
}
