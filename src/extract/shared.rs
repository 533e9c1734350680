//! What dumps of one kernel build have in common, kept from one to the next.

use std::sync::Arc;

use crate::dump::SharedPages;
use crate::kernel::symbols::SharedNames;

/// What dumps of one build share is decoded once by all who have a clone of this; memory is bounded. Reports are the
/// same with it and without, whatever was read before. By default nothing is shared, and nothing kept.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    pub(super) pages: Option<Arc<SharedPages>>,
    pub(super) names: Option<Arc<SharedNames>>,
}

impl Shared {
    /// For many dumps.
    pub fn new() -> Self {
        Shared {
            pages: Some(Arc::default()),
            names: Some(Arc::default()),
        }
    }
}
