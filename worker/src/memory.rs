//! Memory that is no longer used goes back to the system.

/// Returns what planning and starting have used and freed. Allocators keep freed memory for the next request; after the
/// start of a job there is none like it, and an idle job should be small.
pub fn release_unused() {
    // SAFETY: `mi_collect` has no preconditions; it works on the allocator's own structures and is safe on any thread.
    unsafe { libmimalloc_sys::mi_collect(true) };
}
