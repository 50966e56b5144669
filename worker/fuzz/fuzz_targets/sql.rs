//! The SQL front end on arbitrary text: plans or says what is wrong and where, never panics.

#![no_main]

use eddyline_plan::{PlanOptions, Script, plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let script = Script { name: "fuzz.sql".to_owned(), text: text.to_owned() };
    if let Err(diagnostics) = plan(&script, &PlanOptions::default()) {
        let shown = diagnostics.render(&script);
        assert!(!shown.contains("please report it"), "the planner panicked:\n{shown}");
    }
});
