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
}

impl Roster {
    /// From declarations whose names are known to be unique.
    pub(crate) fn new(sources: Vec<Source>, endpoints: Vec<Endpoint>) -> Self {
        let sources = sources.into_iter().map(|source| (source.name.clone(), Arc::new(source)));
        let endpoints =
            endpoints.into_iter().map(|endpoint| (endpoint.name.clone(), Arc::new(endpoint)));
        Self { sources: sources.collect(), endpoints: endpoints.collect() }
    }

    /// The sources whose entries are the items of this one.
    pub(crate) fn fed_by<'a>(
        &'a self,
        feeding: &'a SourceName,
    ) -> impl Iterator<Item = &'a Arc<Source>> {
        self.sources.values().filter(move |source| match &source.for_each {
            Some(ForEach::Source { name, .. }) => name == feeding,
            _ => false,
        })
    }

    /// Whether any source has the items of this one as its entries.
    pub(crate) fn feeds_others(&self, name: &SourceName) -> bool {
        self.fed_by(name).next().is_some()
    }
}
