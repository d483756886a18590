//! What each store holds of an instance, by listing it once.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::base::error_chain::error_chain;
use crate::base::names::StoreName;
use crate::model::layout::Layout;
use crate::ops::destination::Destination;
use crate::store::{Store, StoreErrorKind};

/// What a listing says of an object.
pub(super) struct Listed {
    pub(super) size: u64,
    pub(super) etag: Option<String>,
}

/// One store, and the objects that it holds.
pub(super) struct Holding<'a> {
    pub(super) destination: &'a Destination,
    objects: HashMap<String, Listed>,
}

impl Holding<'_> {
    pub(super) fn store(&self) -> &Arc<dyn Store> {
        &self.destination.store
    }

    pub(super) fn name(&self) -> &StoreName {
        self.store().name()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Listed> {
        self.objects.get(key)
    }

    pub(super) fn holds(&self, key: &str) -> bool {
        self.objects.contains_key(key)
    }
}

/// Lists every store at once. A store that does not answer is told, and left out.
pub(super) fn read<'a>(
    destinations: &'a [Destination],
    layout: &Layout,
) -> (Vec<Holding<'a>>, Vec<(&'a Destination, String)>) {
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

fn list(store: &dyn Store, layout: &Layout) -> Result<HashMap<String, Listed>, String> {
    let mut objects = HashMap::new();
    let listed = store.list(layout.root(), None, &mut |meta| {
        let (size, etag) = (meta.size, meta.etag);
        objects.insert(meta.key, Listed { size, etag });
        ControlFlow::Continue(())
    });
    match listed {
        Ok(()) => Ok(objects),
        // Nothing was ever written there.
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(objects),
        Err(error) => Err(error_chain(&error)),
    }
}
