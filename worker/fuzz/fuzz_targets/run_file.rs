//! The reader of run files and manifests on arbitrary bytes: refuses or reads, never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The results are of no interest: the readers may accept or refuse.
    let _rows = eddyline_checkpoint::fuzz_open_run(bytes);
    let _accepted = eddyline_checkpoint::fuzz_open_manifest(bytes);
});
