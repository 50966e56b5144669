//! A vector that is shared with frozen copies of itself until it is changed.

use std::sync::Arc;

/// A vector of the owner's own, or one that frozen copies share. It is copied by the first change while a frozen copy is
/// still held.
#[derive(Debug)]
pub(crate) enum SharedVec<T> {
    Own(Vec<T>),
    Shared(Arc<Vec<T>>),
}

impl<T> Default for SharedVec<T> {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl<T: Clone> SharedVec<T> {
    /// The items.
    #[inline(always)]
    pub(crate) fn items(&self) -> &[T] {
        match self {
            Self::Own(items) => items,
            Self::Shared(items) => items,
        }
    }

    /// The vector, to change.
    #[inline(always)]
    pub(crate) fn own(&mut self) -> &mut Vec<T> {
        if let Self::Shared(_) = self {
            self.unshare();
        }
        match self {
            Self::Own(items) => items,
            Self::Shared(_) => unreachable!("it has just been made the owner's own"),
        }
    }

    #[cold]
    #[inline(never)]
    fn unshare(&mut self) {
        if let Self::Shared(items) = std::mem::take(self) {
            *self = Self::Own(Arc::try_unwrap(items).unwrap_or_else(|shared| {
                // With the original's room: whoever copies it is about to add to it.
                let mut copy = Vec::with_capacity(shared.capacity());
                copy.extend_from_slice(&shared);
                copy
            }));
        }
    }

    /// The items as they are now; takes no time.
    pub(crate) fn freeze(&mut self) -> Self {
        let shared = match std::mem::take(self) {
            Self::Own(items) => Arc::new(items),
            Self::Shared(items) => items,
        };
        *self = Self::Shared(Arc::clone(&shared));
        Self::Shared(shared)
    }

    /// Removes all items, and keeps the memory if it is not shared.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Own(items) => items.clear(),
            Self::Shared(_) => {
                if let Self::Shared(items) = std::mem::take(self)
                    && let Ok(mut items) = Arc::try_unwrap(items)
                {
                    items.clear();
                    *self = Self::Own(items);
                }
            }
        }
    }

    /// How many items there is room for.
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Own(items) => items.capacity(),
            Self::Shared(items) => items.capacity(),
        }
    }
}
