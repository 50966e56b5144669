//! Tests of the planner: plans, meanings and diagnostics of scripts.

mod diagnostics;
mod explain;
mod meaning;
mod nexmark;
mod stages;
mod token_soup;
