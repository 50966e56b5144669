//! From a script to a job graph: plans, meanings and diagnostics.

mod diagnostics;
mod explain;
mod meaning;
mod nexmark;
mod stages;
mod token_soup;
