//! From a script to a job graph: plans, meanings and diagnostics.

mod diagnostics;
mod explain;
mod meaning;
mod nexmark;
mod token_soup;
