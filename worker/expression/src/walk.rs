//! Visits and rewrites expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::{Call, Case, Expr, In, Kind, Rows, Scalar, Similar};

impl Kind {
    /// The expressions right below, in the order in which they are written.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Column { .. } | Self::Literal(_) => Vec::new(),
            Self::Compare { left, right, .. }
            | Self::Calculate { left, right, .. }
            | Self::And(left, right)
            | Self::Or(left, right)
            | Self::Like { value: left, pattern: right, .. }
            | Self::Element { of: left, at: right } => vec![left, right],
            Self::Negate(value)
            | Self::Not(value)
            | Self::IsNull(value)
            | Self::IsNotNull(value)
            | Self::Cast { value, .. }
            | Self::Field { row: value, .. }
            | Self::Similar(Similar { value, .. }) => vec![value],
            Self::Case(case) => {
                let branches = case.branches.iter().flat_map(|(when, then)| [when, then]);
                case.operand.iter().chain(branches).chain(&case.otherwise).collect()
            }
            Self::In(one_of) => std::iter::once(&one_of.value).chain(&one_of.list).collect(),
            Self::Call(call) => call.arguments.iter().collect(),
        }
    }

    /// The same node, with its direct children replaced by the results of `change`.
    fn with_children(&self, change: &mut dyn FnMut(&Expr) -> Expr) -> Self {
        match self {
            Self::Column { .. } | Self::Literal(_) => self.clone(),
            Self::Compare { operator, left, right } => {
                Self::Compare { operator: *operator, left: change(left), right: change(right) }
            }
            Self::Calculate { operator, left, right } => {
                Self::Calculate { operator: *operator, left: change(left), right: change(right) }
            }
            Self::And(left, right) => Self::And(change(left), change(right)),
            Self::Or(left, right) => Self::Or(change(left), change(right)),
            Self::Like { value, pattern, negated } => {
                Self::Like { value: change(value), pattern: change(pattern), negated: *negated }
            }
            Self::Element { of, at } => Self::Element { of: change(of), at: change(at) },
            Self::Negate(value) => Self::Negate(change(value)),
            Self::Not(value) => Self::Not(change(value)),
            Self::IsNull(value) => Self::IsNull(change(value)),
            Self::IsNotNull(value) => Self::IsNotNull(change(value)),
            Self::Cast { value, or_null } => Self::Cast { value: change(value), or_null: *or_null },
            Self::Field { row, index, name } => Self::Field { row: change(row), index: *index, name: name.clone() },
            Self::Similar(similar) => Self::Similar(Similar {
                value: change(&similar.value),
                pattern: similar.pattern.clone(),
                regex: similar.regex.clone(),
                negated: similar.negated,
            }),
            Self::Case(case) => Self::Case(Case {
                operand: case.operand.as_ref().map(&mut *change),
                branches: case.branches.iter().map(|(when, then)| (change(when), change(then))).collect(),
                otherwise: case.otherwise.as_ref().map(change),
            }),
            Self::In(one_of) => Self::In(In {
                value: change(&one_of.value),
                list: one_of.list.iter().map(change).collect(),
                negated: one_of.negated,
                set: None,
            }),
            Self::Call(call) => Self::Call(Call {
                function: Arc::clone(&call.function),
                arguments: call.arguments.iter().map(change).collect(),
                instead: None,
            }),
        }
    }
}

impl Expr {
    /// The expressions right below, in the order in which they are written.
    pub fn children(&self) -> Vec<&Self> {
        self.kind().children()
    }

    /// Rewrites the expression bottom-up: each node is replaced by the result of `change`. `None` keeps the node. The
    /// result must have the type of the node.
    pub fn transform(&self, change: &mut dyn FnMut(&Self) -> Option<Self>) -> Self {
        let mut is_changed = false;
        let kind = self.kind().with_children(&mut |child| {
            let changed = child.transform(change);
            is_changed |= !changed.is(child);
            changed
        });
        // A call keeps its type, which can depend on arguments that were literals when it was built.
        let rebuilt = if is_changed { Self::of(kind, self.data_type().clone()) } else { self.clone() };
        change(&rebuilt).unwrap_or(rebuilt)
    }

    /// The expression with every column replaced by what `replace` gives for its position.
    pub fn substitute(&self, replace: &dyn Fn(usize) -> Option<Self>) -> Self {
        self.transform(&mut |node| node.as_column().and_then(replace))
    }

    /// The expression with columns at other positions. Columns that are not in the map stay.
    pub fn remap(&self, positions: &BTreeMap<usize, usize>) -> Self {
        self.transform(&mut |node| match node.kind() {
            Kind::Column { index, name } => {
                let field = arrow::datatypes::Field::new(name, node.data_type().clone(), node.nullable());
                Some(Self::column(*positions.get(index)?, &field))
            }
            _ => None,
        })
    }

    /// Calls `visit` for every node.
    pub fn visit(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        self.children().into_iter().for_each(|child| child.visit(visit));
    }

    /// The positions of the columns that it reads.
    pub fn columns(&self) -> BTreeSet<usize> {
        let mut columns = BTreeSet::new();
        self.visit(&mut |node| columns.extend(node.as_column()));
        columns
    }

    /// The depth. A column has 1.
    pub fn depth(&self) -> usize {
        1 + self.children().into_iter().map(Self::depth).max().unwrap_or(0)
    }

    /// The parts of its AND, from left to right.
    pub fn conjuncts(&self) -> Vec<&Self> {
        match self.kind() {
            Kind::And(left, right) => [left.conjuncts(), right.conjuncts()].concat(),
            _ => vec![self],
        }
    }

    /// The value of a constant expression. `None` also if the expression fails: it should fail when it runs.
    pub fn constant(&self) -> Option<Scalar> {
        if self.is_volatile() || !self.columns().is_empty() {
            return None;
        }
        let columns: [ArrayRef; 0] = [];
        let value = self.evaluate(Rows { columns: &columns, len: 1 }).ok()?.into_array(1).ok()?;
        Scalar::try_from_array(&value, 0).ok().filter(|value| value.data_type() == *self.data_type())
    }

    /// The literal of its value if it is constant, otherwise the expression itself.
    pub fn folded(self) -> Self {
        match self.constant() {
            Some(value) => Self::literal(value),
            None => self,
        }
    }
}
