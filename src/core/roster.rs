//! The sources and endpoints in force: what a valid configuration declares, without how it was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::endpoint::Endpoint;
use crate::core::entries::ForEach;
use crate::core::ids::{EndpointName, SourceName};
use crate::core::source::Source;

/// Everything that is declared. Replaced as a whole by a reload, never edited.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Roster {
    pub(crate) sources: BTreeMap<SourceName, Arc<Source>>,
    pub(crate) endpoints: BTreeMap<EndpointName, Arc<Endpoint>>,
    /// By the source that feeds them: looked up at every poll, of which there may be thousands a second.
    fed: BTreeMap<SourceName, Vec<Arc<Source>>>,
}

impl Roster {
    /// From declarations whose names are known to be unique.
    pub(crate) fn new(sources: Vec<Arc<Source>>, endpoints: Vec<Endpoint>) -> Self {
        let sources: BTreeMap<_, _> =
            sources.into_iter().map(|source| (source.name.clone(), source)).collect();
        let endpoints =
            endpoints.into_iter().map(|endpoint| (endpoint.name.clone(), Arc::new(endpoint)));
        let mut fed = BTreeMap::<_, Vec<_>>::new();
        for source in sources.values() {
            if let Some(ForEach::Source { name, .. }) = &source.for_each {
                fed.entry(name.clone()).or_default().push(Arc::clone(source));
            }
        }
        Self { sources, endpoints: endpoints.collect(), fed }
    }

    /// The sources whose entries are the items of this one.
    pub(crate) fn fed_by(&self, feeding: &SourceName) -> impl Iterator<Item = &Arc<Source>> {
        self.fed.get(feeding).into_iter().flatten()
    }

    /// Whether any source has the items of this one as its entries.
    pub(crate) fn feeds_others(&self, name: &SourceName) -> bool {
        self.fed.contains_key(name)
    }
}
