//! The connections of one shard, and the names that other shards use for them.
//!
//! Does not know: a connection's state.

use crate::protocol::local::ConnRef;
use crate::shard::conn::Conn;
use slab::Slab;
use std::ops::{Index, IndexMut};

/// All connections of a shard. An index is used again; a name ([`ConnRef`]) never is.
pub(in crate::shard) struct Conns<S> {
    shard: u16,
    slab: Slab<Conn<S>>,
    generation: u32,
}

impl<S> Conns<S> {
    /// An empty table for shard number `shard`.
    pub(in crate::shard) fn new(shard: u16) -> Self {
        Self { shard, slab: Slab::new(), generation: 0 }
    }

    /// The name that the next connection gets.
    pub(in crate::shard) fn next(&self) -> ConnRef {
        let index = self.slab.vacant_key() as u32;
        ConnRef { shard: self.shard, index, generation: self.generation.wrapping_add(1) }
    }

    /// Takes the connection that [`Conns::next`] named.
    pub(in crate::shard) fn insert(&mut self, conn: Conn<S>) {
        self.generation = conn.generation;
        self.slab.insert(conn);
    }

    pub(in crate::shard) fn remove(&mut self, index: u32) -> Conn<S> {
        self.slab.remove(index as usize)
    }

    pub(in crate::shard) fn get(&self, index: u32) -> Option<&Conn<S>> {
        self.slab.get(index as usize)
    }

    pub(in crate::shard) fn get_mut(&mut self, index: u32) -> Option<&mut Conn<S>> {
        self.slab.get_mut(index as usize)
    }

    /// The index of the connection that `conn` names, if it is still the same one.
    pub(in crate::shard) fn find(&self, conn: ConnRef) -> Option<u32> {
        self.get(conn.index).filter(|c| c.generation == conn.generation).map(|_| conn.index)
    }

    /// The connection at `index`, if its generation is still `generation`.
    pub(in crate::shard) fn live(&mut self, index: u32, generation: u32) -> Option<&mut Conn<S>> {
        self.get_mut(index).filter(|conn| conn.generation == generation)
    }

    /// The name of the connection at `index`, which must exist.
    pub(in crate::shard) fn name(&self, index: u32) -> ConnRef {
        ConnRef { shard: self.shard, index, generation: self[index].generation }
    }

    pub(in crate::shard) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(in crate::shard) fn indexes(&self) -> Vec<u32> {
        self.slab.iter().map(|(index, _)| index as u32).collect()
    }
}

impl<S> Index<u32> for Conns<S> {
    type Output = Conn<S>;

    fn index(&self, index: u32) -> &Conn<S> {
        &self.slab[index as usize]
    }
}

impl<S> IndexMut<u32> for Conns<S> {
    fn index_mut(&mut self, index: u32) -> &mut Conn<S> {
        &mut self.slab[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::variant::Encoding;
    use crate::shard::tenant::Caps;
    use std::fs::File;

    #[test]
    fn an_index_is_used_again_but_a_name_never() {
        let caps =
            Caps { message_bytes_max: 1, fragments_max: 1, backlog_bytes_max: 1, any_type: false, compressed: false };
        let mut conns: Conns<()> = Conns::new(3);
        let add = |conns: &mut Conns<()>| {
            let name = conns.next();
            let fd = File::open("/dev/null").unwrap().into();
            conns.insert(Conn::new(fd, name.generation, Encoding::Json, caps, 0));
            assert_eq!(conns.name(name.index), name);
            name
        };
        let first = add(&mut conns);
        assert_eq!((first.shard, conns.find(first)), (3, Some(first.index)));
        conns.remove(first.index);
        assert_eq!((conns.len(), conns.find(first)), (0, None));
        let second = add(&mut conns);
        assert_eq!(second.index, first.index);
        assert_eq!((conns.find(first), conns.find(second)), (None, Some(second.index)));
        assert!(conns.live(first.index, first.generation).is_none());
    }
}
