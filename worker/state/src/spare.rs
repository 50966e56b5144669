//! Returns the memory of unused capacity to the system.
//!
//! An allocator keeps a block that has become half empty as it is, and its pages stay resident. A table out of which groups have
//! been written to disk keeps its block without the pages.

/// No page of a system that this runs on is larger.
const PAGE_BYTES_MAX: usize = 64 << 10;

/// Releases the pages behind the last item. They take memory again when items are pushed.
pub(crate) fn release<T: Copy>(items: &mut Vec<T>) {
    let spare = items.spare_capacity_mut();
    let start = spare.as_mut_ptr().cast::<u8>();
    let skipped = start.align_offset(PAGE_BYTES_MAX);
    let length = size_of_val(spare).saturating_sub(skipped) / PAGE_BYTES_MAX * PAGE_BYTES_MAX;
    #[cfg(target_os = "linux")]
    if length > 0 {
        // SAFETY: the range is inside the spare capacity of a vector, which has no values. The pages are private to this
        // process, and read as zeros afterwards.
        unsafe {
            libc::madvise(start.add(skipped).cast(), length, libc::MADV_DONTNEED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_bytes() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("the memory of this process");
        statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
    }

    #[test]
    fn what_is_in_use_stays_and_the_rest_is_not_resident() {
        let mut numbers: Vec<u64> = (0..16 << 20).collect();
        let before = resident_bytes();
        numbers.truncate(1 << 20);
        release(&mut numbers);
        let after = resident_bytes();
        assert!(after + (96 << 20) < before, "{before} bytes, then {after}");
        numbers.extend(1 << 20..2 << 20);
        assert!(numbers.iter().copied().eq(0..2 << 20));
        release(&mut Vec::<u64>::new());
        release(&mut vec![1u64]);
    }
}
