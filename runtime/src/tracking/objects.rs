//! Sets of objects, by their places.

use super::PLACES;

/// A set of objects, by their places: 0 to [`PLACES`] less one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Objects(u16);

const _: () = assert!(PLACES <= u16::BITS as usize);

impl Objects {
    /// Returns the set of the first `count` places, at most all.
    pub fn first(count: usize) -> Self {
        (0..count.min(PLACES)).fold(Self::default(), Self::with)
    }

    /// Returns the set with one more place. A place that does not exist changes nothing.
    #[must_use]
    pub const fn with(self, place: usize) -> Self {
        if place < PLACES { Self(self.0 | 1 << place) } else { self }
    }

    /// Returns the set without a place.
    #[must_use]
    pub const fn without(self, place: usize) -> Self {
        if place < PLACES { Self(self.0 & !(1 << place)) } else { self }
    }

    /// Returns the set without the places of another.
    #[must_use]
    pub const fn without_all(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether a place is in the set.
    pub const fn contains(self, place: usize) -> bool {
        place < PLACES && self.0 >> place & 1 != 0
    }

    /// Returns whether the set has no place.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the number of places.
    pub const fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Returns the places of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the places of either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the places of the set that `keeps` keeps.
    #[must_use]
    pub fn only(self, keeps: impl Fn(usize) -> bool) -> Self {
        self.places().filter(|&place| keeps(place)).fold(Self::default(), Self::with)
    }

    /// Returns the ids of the places in planes of pixels, ascending: 0 is the background's.
    pub fn ids(self) -> heapless::Vec<usize, PLACES> {
        self.places().map(|place| place + 1).collect()
    }

    /// Returns the places, ascending.
    pub fn places(self) -> impl Iterator<Item = usize> + Clone {
        (0..PLACES).filter(move |&place| self.contains(place))
    }
}
