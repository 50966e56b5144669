//! Problems of a script and their places: one [`Diagnostic`] a problem, rendered with the source line and a caret.

use std::fmt::Write as _;

use sqlparser::tokenizer::{Location, Span};

use crate::Script;

/// The result of a planning step.
pub(crate) type Result<T> = std::result::Result<T, Diagnostic>;

/// One problem in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The length of the marked text in characters, at least 1.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub help: Option<String>,
    /// Whether this only follows from another problem, which is reported on its own.
    pub(crate) consequence: bool,
    /// Further problems of the same statement.
    pub(crate) further: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A problem with the text at `span`.
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Self {
        let line = usize::try_from(span.start.line).unwrap_or(1).max(1);
        let column = usize::try_from(span.start.column).unwrap_or(1).max(1);
        let length = if span.end.line == span.start.line && span.end.column > span.start.column {
            usize::try_from(span.end.column - span.start.column).unwrap_or(1)
        } else {
            1
        };
        Self { line, column, length, message: message.into(), help: None, consequence: false, further: Vec::new() }
    }

    /// Adds advice.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Marks the problem as a consequence, which is not shown because its cause is.
    pub(crate) fn into_consequence(mut self) -> Self {
        self.consequence = true;
        self
    }

    /// This problem, and another one of the same statement.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.further.push(other);
        self
    }

    /// This problem and all further ones, each alone.
    pub(crate) fn each(mut self) -> Vec<Self> {
        let further = std::mem::take(&mut self.further);
        std::iter::once(self).chain(further.into_iter().flat_map(Self::each)).collect()
    }

    /// Renders the problem as an error: place and message, the line of the script with a caret under the text, and the
    /// advice.
    pub fn render(&self, script: &Script) -> String {
        self.render_as("error", script)
    }

    /// Renders the problem as a warning, in the form of [`Diagnostic::render`].
    pub fn render_warning(&self, script: &Script) -> String {
        self.render_as("warning", script)
    }

    fn render_as(&self, severity: &str, script: &Script) -> String {
        let mut text = format!("{}:{}:{}: {severity}: {}\n", script.name, self.line, self.column, self.message);
        if let Some(source) = script.text.lines().nth(self.line - 1) {
            let number = self.line.to_string();
            let margin = " ".repeat(number.len());
            let shown: String = source.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
            let rest = shown.chars().count().saturating_sub(self.column - 1).max(1);
            let carets = "^".repeat(self.length.clamp(1, rest));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{margin} |");
            let _ = writeln!(text, "{number} | {shown}");
            let _ = writeln!(text, "{margin} | {}{carets}", " ".repeat(self.column - 1));
            if let Some(help) = &self.help {
                let _ = writeln!(text, "{margin} = help: {help}");
            }
        } else if let Some(help) = &self.help {
            let _ = writeln!(text, "  = help: {help}");
        }
        text
    }
}

/// All problems of a script, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// All problems, rendered one below the other.
    pub fn render(&self, script: &Script) -> String {
        self.0.iter().map(|diagnostic| diagnostic.render(script)).collect::<Vec<_>>().join("\n")
    }
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            write!(f, "{}:{}: {}", diagnostic.line, diagnostic.column, diagnostic.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Both values, or the problems of both, so that one run reports all of them.
pub(crate) fn both<A, B>(one: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(error), Err(other)) => Err(error.and(other)),
    }
}

/// All values, or the problems of all, so that one run reports all of them.
pub(crate) fn all<T>(results: impl IntoIterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut values = Ok(Vec::new());
    for result in results {
        values = both(values, result).map(|(mut values, value)| {
            values.push(value);
            values
        });
    }
    values
}

/// The span from the start of one span to the end of another.
pub(crate) fn join(start: Span, end: Span) -> Span {
    if is_empty(start) {
        end
    } else if is_empty(end) {
        start
    } else {
        Span::new(start.start, end.end)
    }
}

/// Whether a span is empty. sqlparser gives empty spans to nodes without a place of their own.
pub(crate) fn is_empty(span: Span) -> bool {
    span.start.line == 0
}

/// The span of one character at a place.
pub(crate) fn point(line: u64, column: u64) -> Span {
    Span::new(Location::new(line, column), Location::new(line, column + 1))
}
