//! The columns that an expression can refer to, and their resolution by name.

use arrow::datatypes::{DataType, Field, SchemaRef};
use eddyline_stream::sql_type;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Span;

use super::relation::{Relation, Role, ScopeField};
use crate::diagnostics::{Diagnostic, Result};
use crate::suggestion::{listed, nearest};

/// The columns that an expression can refer to. Names are case-sensitive, as in Flink.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The names, by position.
    pub fields: Vec<ScopeField>,
    /// The types, by position.
    pub schema: SchemaRef,
}

impl Scope {
    /// The columns of a relation.
    pub(crate) fn of(relation: &Relation) -> Self {
        Self { fields: relation.fields.clone(), schema: relation.rel.schema.clone() }
    }

    /// Resolves the first one or two identifiers to a column. Returns its position and the number of identifiers that
    /// it took. The identifiers after them are fields of rows.
    pub(crate) fn resolve(&self, path: &[Ident], span: Span) -> Result<(usize, usize)> {
        let Some(first) = path.first() else { return Err(Diagnostic::at(span, "expected a column")) };
        if let Some(second) = path.get(1) {
            let found = self
                .find(|field| field.qualifier.as_deref() == Some(first.value.as_str()) && field.name == second.value);
            match found.as_slice() {
                [] => {}
                [index] => return Ok((*index, 2)),
                _ => return Err(self.ambiguous(second)),
            }
        }
        match self.find(|field| field.name == first.value).as_slice() {
            [index] => Ok((*index, 1)),
            [] => Err(self.not_found(path)),
            _ => Err(self.ambiguous(first)),
        }
    }

    fn find(&self, matches: impl Fn(&ScopeField) -> bool) -> Vec<usize> {
        (0..self.fields.len()).filter(|index| matches(&self.fields[*index])).collect()
    }

    fn ambiguous(&self, name: &Ident) -> Diagnostic {
        Diagnostic::at(name.span, format!("column '{}' is ambiguous: there are several of this name", name.value))
            .help("give them different names with AS in the subquery")
    }

    fn not_found(&self, path: &[Ident]) -> Diagnostic {
        let qualified = path.len() > 1
            && self.fields.iter().any(|field| field.qualifier.as_deref() == Some(path[0].value.as_str()));
        let (name, place) = if qualified { (&path[1].value, path[1].span) } else { (&path[0].value, path[0].span) };
        let diagnostic = if path.len() > 1 && !qualified {
            Diagnostic::at(place, format!("there is no table, alias or column '{name}' here"))
        } else {
            Diagnostic::at(place, format!("column '{name}' not found"))
        };
        let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        match nearest(name, names.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`? Names are case-sensitive")),
            None => diagnostic.help(format!("the columns are {}", listed(&names))),
        }
    }

    /// The role of a column.
    pub(crate) fn role(&self, index: usize) -> Role {
        self.fields.get(index).map_or(Role::Plain, |field| field.role)
    }
}

/// The field of a row type, by its exact name.
pub(crate) fn row_field<'a>(data_type: &'a DataType, name: &Ident) -> Result<&'a Field> {
    let DataType::Struct(fields) = data_type else {
        return Err(Diagnostic::at(
            name.span,
            format!("'{}': only a ROW has fields, this is {}", name.value, sql_type(data_type)),
        ));
    };
    fields.iter().find(|field| *field.name() == name.value).map(AsRef::as_ref).ok_or_else(|| {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let diagnostic = Diagnostic::at(name.span, format!("the row has no field '{}'", name.value));
        match nearest(&name.value, names.iter().copied()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`? Names are case-sensitive")),
            None => diagnostic.help(format!("its fields are {}", listed(&names))),
        }
    })
}
