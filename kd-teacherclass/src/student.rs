//! Networks that can be students of a class.

use burn::module::ModuleDisplay;
use kd_core::Classifier;

/// A network that can be a student of a class: implemented for every classifier, as Burn's `Module` derive
/// makes its display, too.
pub trait Student: Classifier + ModuleDisplay {}

impl<S> Student for S where S: Classifier + ModuleDisplay {}
