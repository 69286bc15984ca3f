//! Sets of a few known values, one bit each. On the wire and in configuration they are lists.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type with at most 16 values.
pub trait BitSetMember: Copy + 'static {
    /// Form of a value in a list that is read.
    type Wire: DeserializeOwned;

    /// All values, in the order in which a set lists them.
    fn members() -> impl Iterator<Item = Self>;

    /// Place among all values; below 16, and different for each.
    fn index(self) -> usize;

    /// Form of the value in a list that is written.
    fn to_wire(self) -> impl Serialize;

    /// The value that is written so; `None` when this version does not know it.
    fn from_wire(wire: &Self::Wire) -> Option<Self>;
}

/// Some values of `T`.
pub struct BitSet<T>(u16, PhantomData<T>);

impl<T: BitSetMember> BitSet<T> {
    /// The empty set.
    pub const NONE: Self = Self(0, PhantomData);

    /// The set with `member` added.
    #[must_use]
    pub fn with(self, member: T) -> Self {
        Self(self.0 | 1 << member.index(), PhantomData)
    }

    /// The members of either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0, PhantomData)
    }

    /// True if `member` is in the set.
    pub fn contains(self, member: T) -> bool {
        self.0 & 1 << member.index() != 0
    }

    /// True if the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of [`BitSetMember::members`].
    pub fn iter(self) -> impl Iterator<Item = T> {
        T::members().filter(move |member| self.contains(*member))
    }
}

// Derived implementations would ask the same traits of `T`.
impl<T> Clone for BitSet<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for BitSet<T> {}

impl<T> Default for BitSet<T> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

impl<T> PartialEq for BitSet<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for BitSet<T> {}

impl<T> std::hash::Hash for BitSet<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T: BitSetMember + fmt::Debug> fmt::Debug for BitSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: BitSetMember> FromIterator<T> for BitSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        members.into_iter().fold(Self::NONE, Self::with)
    }
}

impl<T: BitSetMember> Serialize for BitSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(T::to_wire))
    }
}

impl<'de, T: BitSetMember> Deserialize<'de> for BitSet<T> {
    /// Values that this version does not know are skipped: a newer one may have sent them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Vec::<T::Wire>::deserialize(deserializer)?;
        Ok(list.iter().filter_map(T::from_wire).collect())
    }
}
