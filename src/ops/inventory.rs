//! What each store holds of an instance, by listing it once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::model::layout::Layout;
use crate::ops::destination::Destination;
use crate::store::{Store, StoreErrorKind};

/// What a listing says of an object.
pub struct Listed {
    /// In bytes.
    pub size: u64,
    /// The store's entity tag, where it keeps one.
    pub etag: Option<String>,
}

/// One store, and the objects that it holds.
pub struct Holding<'a> {
    /// The store, and what is demanded of it.
    pub destination: &'a Destination,
    objects: Objects,
}

/// Objects under names that the format knows. Of others, which somebody may have planted in any
/// number, nothing is kept.
type Objects = BTreeMap<String, Listed>;

impl Holding<'_> {
    /// The store itself.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.destination.store
    }

    /// Its name.
    pub fn name(&self) -> &StoreName {
        self.store().name()
    }

    /// What its listing says of an object.
    pub fn get(&self, key: &str) -> Option<&Listed> {
        self.objects.get(key)
    }

    /// Whether its listing names an object.
    pub fn holds(&self, key: &str) -> bool {
        self.objects.contains_key(key)
    }

    /// All keys below a prefix.
    pub fn keys_under<'s>(&'s self, prefix: &str) -> impl Iterator<Item = &'s str> {
        let prefix = prefix.to_owned();
        let from = self.objects.range(prefix.clone()..);
        let keys = from.map(|(key, _)| key.as_str());
        keys.take_while(move |key| key.starts_with(&prefix))
    }
}

/// A store that did not answer, and what it said.
pub type Unlisted<'a> = (&'a Destination, String);

/// Lists every store at once. A store that does not answer is told, and left out.
pub fn read<'a>(
    destinations: &'a [Destination],
    layout: &Layout,
) -> (Vec<Holding<'a>>, Vec<Unlisted<'a>>) {
    let listed: Vec<_> = std::thread::scope(|scope| {
        let list = |to: &'a Destination| scope.spawn(move || list(to.store.as_ref(), layout));
        let running: Vec<_> = destinations.iter().map(list).collect();
        running.into_iter().map(|thread| thread.join()).collect()
    });
    let mut holdings = Vec::new();
    let mut failed = Vec::new();
    for (destination, listed) in destinations.iter().zip(listed) {
        let listed = listed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match listed {
            Ok(objects) => holdings.push(Holding {
                destination,
                objects,
            }),
            Err(why) => failed.push((destination, why)),
        }
    }
    (holdings, failed)
}

fn list(store: &dyn Store, layout: &Layout) -> Result<Objects, String> {
    let mut objects = Objects::new();
    let mut foreign: u64 = 0;
    let listed = store.list(layout.root(), None, &mut |meta| {
        match layout.knows(&meta.key) {
            true => {
                let (size, etag) = (meta.size, meta.etag);
                objects.insert(meta.key, Listed { size, etag });
            }
            false => foreign += 1,
        }
        ControlFlow::Continue(())
    });
    if foreign > 0 {
        let (store, objects) = (store.name(), foreign);
        tracing::info!(%store, objects, "objects under names that are not ours were passed over");
    }
    match listed {
        Ok(()) => Ok(objects),
        // Nothing was ever written there.
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(objects),
        Err(error) => Err(error_chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[test]
    fn planted_names_are_not_kept() {
        let store = MemoryStore::new("a".parse().unwrap());
        let layout = Layout::new(&"demo".parse().unwrap());
        store.put_if_absent(&layout.manifest(1), b"x").unwrap();
        for number in 0..100_u32 {
            let key = format!("demo/escrow/planted-{number}/x");
            store.put_if_absent(&key, b"x").unwrap();
        }
        let kept: Vec<String> = list(&store, &layout).unwrap().into_keys().collect();
        assert_eq!(kept, [layout.manifest(1)]);
    }
}
